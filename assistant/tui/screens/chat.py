"""The screen of the program: its keys, its slash commands, its palette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.events import DescendantFocus, Key, Paste, Resize

from assistant.text import sanitize_line
from assistant.tui.screens.checks import ChecksScreen
from assistant.tui.screens.rooms import WIDE
from assistant.tui.widgets.desk import Desk
from assistant.tui.widgets.welcome import Welcome

Action = Callable[[], Awaitable[None] | None]


class ChatScreen(ChecksScreen):
    """The conversation with everything a person can do to it."""

    HELP = """\
Everywhere
Esc: Stop the answer or a check, else go back to the composer
Ctrl+N: New conversation
Ctrl+F: Search all conversations
Ctrl+R: Answer the last question again
Ctrl+G: Go on with a stopped answer
Alt+Left, Alt+Right: The other versions of the last answer
Ctrl+Y: Copy the answer
Ctrl+L: See exactly what the model will read
Alt+J: Jump to anything on the screen by its letter
PgUp, PgDn: Scroll
Ctrl+P: All commands
Ctrl+Z: Put the program to sleep; fg wakes it
Ctrl+C: Stop the answer, else leave
Ctrl+Q: Leave
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", priority=True),
        Binding("escape", "leave", "Back to the composer", show=False),
        Binding("f1", "help", "Help", priority=True),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+b", "toggle_sidebar", "Chats", priority=True),
        Binding("ctrl+f", "search", "Search", priority=True),
        Binding("ctrl+g", "continue", "Continue", priority=True),
        Binding("ctrl+r", "regenerate", "Again", priority=True),
        Binding("ctrl+y", "copy", "Copy", priority=True),
        Binding("ctrl+l", "context", "Context", priority=True),
        Binding("ctrl+o", "editor", "Editor", show=False, priority=True),
        Binding("alt+j", "jump", "Jump", show=False, priority=True),
        Binding("alt+left", "version(-1)", "Version before", show=False, priority=True),
        Binding("alt+right", "version(1)", "Version after", show=False, priority=True),
    ]

    async def on_mount(self) -> None:
        """Let commands complete what may follow them."""
        self.slash.choices |= {
            "theme": self.theme_words,
            "model": self.model_words,
            "options": self.option_words,
            "copy": lambda before: (
                [] if before else [("code", "the last block of code"), ("all", "the conversation")]
            ),
            "export": lambda before: (
                []
                if before
                else [("markdown", ""), ("json", "with all versions"), ("text", "no signs")]
            ),
        }

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "message":
            return self.can_act(str(parameters[0]))
        ready, among_messages = self.model is not None, self.chosen is not None
        last = not self.busy and not among_messages
        offered = {
            "stop": self.busy or self.check is not None,
            "continue": self.can_continue and ready and last,
            "regenerate": bool(self.transcript.last_question) and ready and last,
            "copy": self.last_answer is not None and last,
            "context": ready,
        }
        return offered.get(action, True)

    def palette(self) -> Iterator[tuple[str, str, Action]]:
        """Yield title, help and callback of what can be done now, for the command palette."""
        if self.busy or self.check is not None:
            yield "Stop", "What was said stays", self.action_stop
        yield "New conversation", "This one stays in the history", self.action_new
        if self.store is self.history:
            yield "Private conversation", "It never touches the disk", self.action_private
        yield "Search", "All conversations, full text", self.action_search
        yield "Conversations", "Show or hide the list", self.action_toggle_sidebar
        if self.last_answer is not None and not self.busy:
            yield "Copy answer", "The last one, as Markdown", self.action_copy
        if self.check_action("regenerate", ()):
            yield "Answer again", "Another answer to the last question", self.action_regenerate
        if self.check_action("continue", ()):
            yield "Continue", "Go on with the last answer", self.action_continue
        if self.conversation_id is not None:
            yield "Edit question", "Ask the last one anew", self.action_edit
            yield "Copy conversation", "All of it", lambda: self.action_copy("all")
            yield "Export", "Write this conversation to a Markdown file", self.action_export
        if self.conversation_id is not None and self.store is self.history:
            yield "Rename conversation", "Another title", self.action_rename
            yield "Pin conversation", "Keep it at the top, or let it go", self.action_pin
            yield "Delete conversation", "For good", self.action_delete
        if self.model is not None:
            yield "Context", "Exactly what the model will read", self.action_context
            yield "Options", "How answers are sampled", self.action_options
            yield "System prompt", "Of this conversation", self.action_system
        yield "Model", "Choose what answers", self.action_model
        yield "Plugins", "What they add", self.action_plugins
        yield "Editor", "Write in $EDITOR", self.action_editor
        yield "Jump", "To anything on the screen", self.action_jump
        yield "Help", "Keys and commands", self.action_help

    # --- slash commands ------------------------------------------------------------------

    @on(Desk.Sent)
    async def _sent(self, event: Desk.Sent) -> None:
        text = event.text
        words = text[1:].split(maxsplit=1) if text.startswith("/") else []
        # "/etc/hosts is empty" is a question, and so is a pasted block that begins with a slash
        if words and "/" not in words[0] and "\n" not in text:
            await self._run_slash(text)
        else:
            await self.ask(text, event.fixed, event.editing)

    async def _run_slash(self, text: str) -> None:
        command, name, argument = self.slash.parse(text)
        if command is None and not self.plugins_loaded:
            self._early = text
            return
        if command is None:
            near = self.slash.suggestion(name)
            hint = f"Did you mean /{near}?" if near else "Type / to see the commands"
            unknown = f"There is no command /{sanitize_line(name, 40)}. {hint}"
            self.app.notify(unknown, severity="warning", markup=False)
            return
        self.desk.composer.load_text("")
        if command.plugin is not None:
            await self.run_plugin(f"/{name} {argument}".strip(), command.plugin, argument)
            return
        action = getattr(self, f"action_{command.name}")
        result = action(argument) if command.argument else action()
        if result is not None:
            await result

    async def plugins_came(self) -> None:
        """Run a command that was typed before anybody knew it."""
        text, self._early = self._early, ""
        if text:
            await self._run_slash(text)

    # --- actions -------------------------------------------------------------------------

    async def action_stop(self) -> None:
        """Stop the check or the answer."""
        if not self.cancel_check():
            await self.stop_answer()

    def action_leave(self) -> None:
        """Close what is open around the composer and return to it."""
        if self.desk.close_completions():
            return
        if self.desk.composer.has_focus and self.desk.stop_editing():
            return
        self._hide_overlay()
        self.desk.composer.focus()

    async def action_regenerate(self) -> None:
        """Answer the last question again."""
        await self.regenerate()

    async def action_version(self, step: int) -> None:
        """Show another version of the chosen message or the last answer."""
        await self.show_version(step, self.chosen.message_id if self.chosen is not None else "")

    async def action_continue(self) -> None:
        """Go on with the last answer."""
        await self.continue_answer()

    def action_help(self) -> None:
        """Show keys and commands."""
        from assistant.tui.screens.help import HelpScreen, help_sections

        self.app.push_screen(HelpScreen(help_sections(self), self.slash.commands.values()))

    def action_jump(self) -> None:
        """Give everything on the screen a letter."""
        from assistant.tui.screens.jump import JumpScreen

        self.app.push_screen(JumpScreen(self))

    async def action_quit(self) -> None:
        """Leave the program."""
        self.app.exit()

    # --- keys, pastes, sizes -------------------------------------------------------------

    @on(Welcome.Chosen)
    async def _example_chosen(self, event: Welcome.Chosen) -> None:
        await self.ask(event.question)
        self.desk.composer.focus()

    @on(Desk.KeyOffered)
    def _key_offered(self, event: Desk.KeyOffered) -> None:
        if event.key == "pageup":
            self.transcript.scroll_page_up(animate=False)
        elif event.key == "pagedown":
            self.transcript.scroll_page_down(animate=False)
        elif event.key in {"alt+up", "alt+down"}:
            self.recall_step(-1 if event.key == "alt+up" else 1)
        elif event.key == "down":
            self.edit_step(1)
        elif event.key == "up" and not self.transcript.focus_examples():
            self.edit_step(-1)

    def on_paste(self, event: Paste) -> None:
        """Take a paste that arrived while the focus was elsewhere."""
        event.stop()
        self.desk.composer.take_paste(event.text)

    def on_key(self, event: Key) -> None:
        """Typing goes into the composer wherever the focus is, but for keys that mean something."""
        composer = self.desk.composer
        if composer.has_focus or not event.is_printable or not event.character:
            return
        active = self.active_bindings.get(event.key)
        if active is not None and active.enabled and active.node is not self:
            return
        event.stop()
        composer.focus()
        composer.insert(event.character)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The list that lies over a narrow screen goes when one writes."""
        if event.widget is self.desk.composer:
            self._hide_overlay()

    async def stop_everything(self) -> bool:
        """Stop the check or the answer; tell whether something ran."""
        return self.cancel_check() or await self.stop_answer()

    def on_resize(self, event: Resize) -> None:
        """Show the list when there is room for it, unless the person hid it."""
        was_wide, self._was_wide = self._was_wide, event.size.width >= WIDE
        if was_wide is not None and was_wide != self._was_wide:
            self.sidebar.display = self._was_wide

    _was_wide: bool | None = None
    _early = ""  # a command that may be a plugin's, sent before they were there
