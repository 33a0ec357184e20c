"""Keys, slash commands and checks of pastes, over the open conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.events import Key, Paste, Resize

from assistant.plugin_api import Analyzer
from assistant.text import sanitize_line
from assistant.tui.screens.confirm import ConfirmScreen
from assistant.tui.screens.conversation import ConversationScreen
from assistant.tui.screens.help import HelpScreen
from assistant.tui.screens.rooms import WIDE
from assistant.tui.screens.search import SearchScreen
from assistant.tui.widgets.check import Check
from assistant.tui.widgets.desk import Desk
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.report_card import ReportCard
from assistant.tui.widgets.sidebar import UNTITLED, Sidebar
from assistant.tui.widgets.welcome import Welcome


class ChatScreen(ConversationScreen):
    """The conversation with everything a person can do to it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", priority=True),
        Binding("escape", "leave", "Back to the composer", show=False),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+b", "toggle_sidebar", "Chats", priority=True),
        Binding("ctrl+f", "search", "Search", priority=True),
        Binding("ctrl+g", "continue", "Continue", priority=True),
        Binding("ctrl+r", "regenerate", "Again", priority=True),
        Binding("ctrl+y", "copy", "Copy", priority=True),
        Binding("alt+left", "version(-1)", "Version before", show=False, priority=True),
        Binding("alt+right", "version(1)", "Version after", show=False, priority=True),
        Binding("f1", "help", "Help", priority=True),
    ]

    _check: Check | None = None
    _checked_chip: PasteChip | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "stop":
            return self.busy or self._check is not None
        if action == "continue":
            return self.can_continue and self.model is not None
        if action == "regenerate":
            asked = bool(self.transcript.last_question)
            return asked and not self.busy and self.model is not None
        if action == "copy":
            return self.last_answer is not None and not self.busy
        return True

    def palette(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[None] | None]]]:
        """Yield title, help and callback of what can be done now, for the command palette."""
        yield "New conversation", "This one stays in the history", self.action_new
        yield "Search", "All conversations, full text", self.action_search
        yield "Conversations", "Show or hide the list", self.action_toggle_sidebar
        if self.check_action("copy", ()):
            yield "Copy answer", "The last one, as Markdown", self.action_copy
        if self.check_action("regenerate", ()):
            yield "Answer again", "Another answer to the last question", self.action_regenerate
        if self.check_action("continue", ()):
            yield "Continue", "Go on with the last answer", self.action_continue
        if self.conversation_id is not None:
            yield "Delete conversation", "For good", self.action_delete
        yield "Model", "What answers, and how", self.action_model
        yield "Plugins", "What they add", self.action_plugins
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
            await self.ask(text)

    async def _run_slash(self, text: str) -> None:
        command, name, argument = self.slash.parse(text)
        if command is None:
            near = self.slash.suggestion(name)
            hint = f"Did you mean /{near}?" if near else "Type / to see the commands"
            unknown = f"There is no command /{sanitize_line(name, 40)}. {hint}"
            self.app.notify(unknown, severity="warning", markup=False)
            return
        self.desk.composer.load_text("")
        if command.plugin is not None:
            plugin = command.plugin
            await self._start_check(Check(command.usage, lambda _p, _c: plugin.run(argument)))
            return
        action = getattr(self, f"action_{command.action}")
        result = action(argument) if command.argument else action()
        if result is not None:
            await result

    # --- actions -------------------------------------------------------------------------

    async def action_stop(self) -> None:
        """Stop the check or the answer."""
        if not self.cancel_check():
            await self.stop_answer()

    def action_leave(self) -> None:
        """Close what is open around the composer and return to it."""
        if not self.desk.close_completions():
            self._hide_overlay()
            self.desk.composer.focus()

    async def action_new(self) -> None:
        """Start a new conversation."""
        await self._go_to(None)

    def action_toggle_sidebar(self) -> None:
        """Show or hide the list of conversations."""
        if self.sidebar.display:
            self.sidebar.display = False
            self.desk.composer.focus()
        else:
            self.action_history()

    def action_history(self) -> None:
        """Go to the list of conversations."""
        self.sidebar.display = True
        self.sidebar.focus_list()

    def action_search(self, query: str = "") -> None:
        """Search all conversations."""

        async def opened(conversation_id: str | None) -> None:
            if conversation_id is not None:
                await self._go_to(conversation_id)

        self.app.push_screen(SearchScreen(self.history, query), opened)

    def action_rename(self, title: str) -> None:
        """Rename the conversation."""
        if self.conversation_id is None:
            self.app.notify("There is nothing to rename yet", markup=False)
            return
        with self.problems_shown():
            self.history.rename(self.conversation_id, title)
        self.conversation_changed()

    def action_delete(self) -> None:
        """Delete the conversation for good, after a question."""
        if self.conversation_id is not None:
            self._ask_to_delete(self.conversation_id)
        else:
            self.app.notify("There is nothing to delete yet", markup=False)

    def _ask_to_delete(self, conversation_id: str) -> None:
        async def answered(agreed: bool | None) -> None:
            if not agreed:
                return
            if conversation_id == self.conversation_id:
                await self.open_conversation(None)
            with self.problems_shown():
                self.history.delete(conversation_id)
            self.conversation_changed()
            self.desk.composer.focus()

        with self.problems_shown():
            title = self.history.conversation(conversation_id).title or UNTITLED
            question = f"Delete “{sanitize_line(title, 40)}”?"
            detail = "Its text is removed from the database. This cannot be undone."
            self.app.push_screen(ConfirmScreen(question, detail, "Delete"), answered)

    def action_copy(self) -> None:
        """Copy the last answer."""
        if self.last_answer is None:
            self.app.notify("There is no answer yet", markup=False)
            return
        self.app.copy_to_clipboard(self.last_answer.content)
        self.app.notify("Answer copied", timeout=2, markup=False)

    async def action_regenerate(self) -> None:
        """Answer the last question again."""
        await self.regenerate()

    async def action_version(self, step: int) -> None:
        """Show another version of the last answer."""
        await self.show_version(step)

    async def action_continue(self) -> None:
        """Go on with the last answer."""
        await self.continue_answer()

    async def action_model(self) -> None:
        """Show the model; load it again when it could not be loaded."""
        if self.model is None:
            if self.model_error is not None:
                self.load_model()
            return
        options = self.model.options
        sampling = f"temperature {options.temperature:g}" if options.temperature else "greedy"
        await self.transcript.add(
            Notice(
                f"{sanitize_line(self.model.name)}: {self.model.context_length} tokens of context, "
                f"answers of at most {options.max_tokens} tokens, {sampling}",
                "It runs on this computer",
            )
        )

    async def action_plugins(self) -> None:
        """Show what the plugins add."""
        analyzers = [f"· {sanitize_line(a.title)}" for a in self.plugins.analyzers().values()]
        commands = [
            f"· {c.usage}  {c.help}" for c in self.slash.commands.values() if c.plugin is not None
        ]
        text = "\n".join(["Plugins add", *analyzers, *commands])
        if not analyzers and not commands:
            text = "No plugin adds anything here"
        await self.transcript.add(Notice(text, "`assistant plugins list` shows their state"))

    def action_help(self) -> None:
        """Show keys and commands."""
        self.app.push_screen(HelpScreen(self.slash.commands.values()))

    async def action_quit(self) -> None:
        """Leave the program."""
        self.app.exit()

    # --- pastes and checks ---------------------------------------------------------------

    @on(Desk.AnalysisAsked)
    async def _analysis_asked(self, event: Desk.AnalysisAsked) -> None:
        chip, analyzer = event.chip, event.analyzer
        if self._check is not None:
            self.app.notify("One check at a time. Esc cancels it", markup=False)
            return
        chip.display = False
        self._checked_chip = chip
        await self._start_check(self._check_of(analyzer, chip))
        self.desk.composer.focus()

    @staticmethod
    def _check_of(analyzer: Analyzer, chip: PasteChip) -> Check:
        raw = chip.pasted.raw
        title = f"{analyzer.title}: {chip.pasted.label}"
        return Check(title, lambda p, c: analyzer.analyze(raw, p, c), chip.pasted)

    async def _start_check(self, check: Check) -> None:
        self._check = check
        await self.transcript.add(check)
        self.transcript.follow()
        self.refresh_bindings()

    def cancel_check(self) -> bool:
        """Cancel the running check; tell whether there was one."""
        if self._check is None:
            return False
        self._check.cancel()
        return True

    @on(Check.Ended)
    async def _check_ended(self, event: Check.Ended) -> None:
        chip, self._checked_chip = self._checked_chip, None
        if chip is not None and event.done:
            await chip.remove()
        elif chip is not None:
            chip.display = True
        self._check = None
        if event.done:
            self.transcript.show_start(event.check)
        elif not event.check.query(Notice):  # cancelled: there is nothing to read
            await event.check.remove()
        self.refresh_bindings()

    @on(ReportCard.DiscussAsked)
    async def _discuss_asked(self, event: ReportCard.DiscussAsked) -> None:
        await self.desk.attach(event.pasted)

    # --- the rest ------------------------------------------------------------------------

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
        elif event.key == "up" and not self.transcript.focus_examples():
            self.desk.composer.load_text(self.transcript.last_question)
            self.desk.composer.move_cursor(self.desk.composer.document.end)

    def on_paste(self, event: Paste) -> None:
        """Take a paste that arrived while the focus was elsewhere."""
        event.stop()
        self.desk.composer.take_paste(event.text)

    def on_key(self, event: Key) -> None:
        """Typing goes into the composer wherever the focus is."""
        composer = self.desk.composer
        if event.is_printable and event.character and not composer.has_focus:
            event.stop()
            composer.focus()
            composer.insert(event.character)

    @on(Sidebar.Chosen)
    async def _conversation_chosen(self, event: Sidebar.Chosen) -> None:
        await self._go_to(event.conversation_id)

    @on(Sidebar.DeleteAsked)
    def _delete_asked(self, event: Sidebar.DeleteAsked) -> None:
        self._ask_to_delete(event.conversation_id)

    async def _go_to(self, conversation_id: str | None) -> None:
        self.cancel_check()
        if conversation_id is None or conversation_id != self.conversation_id:
            await self.open_conversation(conversation_id)
        self._hide_overlay()
        self.desk.composer.focus()

    def _hide_overlay(self) -> None:
        if self.app.size.width < WIDE:
            self.sidebar.display = False

    async def stop_everything(self) -> bool:
        """Stop the check or the answer; tell whether something ran."""
        return self.cancel_check() or await self.stop_answer()

    def on_resize(self, event: Resize) -> None:
        """Show the list when there is room for it, unless the person hid it."""
        was_wide, self._was_wide = self._was_wide, event.size.width >= WIDE
        if was_wide is not None and was_wide != self._was_wide:
            self.sidebar.display = self._was_wide

    _was_wide: bool | None = None
