"""What can be done to one message: copied, quoted, edited, answered again, switched."""

from __future__ import annotations

import dataclasses

from textual import on
from textual.app import SuspendNotSupported

from assistant.chat import Completion, GenerationOptions
from assistant.errors import AssistantError
from assistant.history import StoredMessage
from assistant.history.export import heading, local_time
from assistant.options import restored_options, shown_options
from assistant.text import sanitize_line
from assistant.tui import clipboard
from assistant.tui.recall import Recall
from assistant.tui.screens.shortening import ShorteningScreen
from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.question import Question
from assistant.tui.widgets.said import Said


class MessagesScreen(ShorteningScreen):
    """The conversation, and what a person can do to its messages."""

    _recall: Recall | None = None

    def _questions(self) -> list[str]:
        with self.problems_shown():
            kept = self.history.recent_questions()
            if self.store is not self.history:
                return list(dict.fromkeys([*self.store.recent_questions(), *kept]))
            return kept
        return []

    # --- the message that is meant -------------------------------------------------------

    @property
    def chosen(self) -> Said | None:
        """The chosen message, while the keyboard is among the messages."""
        chosen = self.transcript.chosen
        return chosen if chosen is not None and chosen.is_mounted else None

    def can_act(self, action: str) -> bool:
        """Whether something can be done to the chosen message now."""
        said = self.chosen
        if said is None:
            return False
        stored, answer = bool(said.message_id), isinstance(said, Answer)
        possible = {
            "edit": stored and not answer,
            "again": stored and not self.busy and self.model is not None,
            "version": said.version.count > 1 and not self.busy,
            "copy_code": isinstance(said, Answer) and bool(said.code),
            "details": stored and answer,
        }
        return possible.get(action.partition("(")[0], True)

    @on(Said.Wanted)
    async def _wanted(self, event: Said.Wanted) -> None:
        event.stop()
        self.transcript.choose(event.said)
        await self.action_message(event.action)

    async def action_message(self, action: str) -> None:
        """Do something to the chosen message."""
        said = self.chosen
        if said is None or not self.can_act(action):
            return
        if action == "copy":
            self._copy(said.content, "Message copied")
        elif action == "copy_code" and isinstance(said, Answer):
            self._copy(said.code, "Code copied")
        elif action == "quote":
            self.quote(said.content)
        elif action == "edit":
            self.desk.edit(said.message_id, said.content)
        elif action == "again":
            await self.regenerate(said.message_id)
        elif action == "details":
            self._toggle_details(said)
        elif action.startswith("version"):
            await self.show_version(-1 if "-1" in action else 1, said.message_id)

    # --- copy and quote ------------------------------------------------------------------

    def _copy(self, text: str, said: str) -> None:
        clipboard.copy(self.app, text)
        self.app.notify(said, timeout=2, markup=False)

    def action_copy(self, what: str = "") -> None:
        """Copy the chosen message or the last answer, its code, or the whole conversation."""
        what = what.strip().lower()
        answer = self.transcript.last_answer
        if what == "all" and self.conversation_id is not None:
            with self.problems_shown():
                messages = self.store.messages(self.conversation_id)
                parts = [f"{heading(m)}:\n{m.content.strip()}" for m in messages]
                self._copy("\n\n".join(parts), "Conversation copied")
        elif what == "code" and answer is not None and answer.code:
            self._copy(answer.code, "Code copied")
        elif what == "code":
            self.app.notify("There is no block of code in the last answer", markup=False)
        elif what and what != "all":
            self.app.notify("Copy what? /copy, /copy code or /copy all", markup=False)
        elif self.chosen is not None:
            self._copy(self.chosen.content, "Message copied")
        elif self.last_answer is not None:
            self._copy(self.last_answer.content, "Answer copied")
        else:
            self.app.notify("There is no answer yet", markup=False)

    def quote(self, text: str) -> None:
        """Quote a text in the composer, the selected part of it if something is selected."""
        text = self.get_selected_text() or text
        lines = text.strip("\n").split("\n")
        self.desk.write("\n".join(f"> {line}" if line else ">" for line in lines) + "\n\n")

    # --- edit ----------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Edit the last question."""
        if not self.edit_step(-1):
            self.app.notify("There is no question to edit yet", markup=False)

    def edit_step(self, step: int) -> bool:
        """Edit the question before (-1) or after (1) the one that is edited, else the last."""
        if self.conversation_id is None or self.busy:
            return False
        questions: list[StoredMessage] = []
        with self.problems_shown():
            branch = self.store.messages(self.conversation_id)
            questions = [m for m in branch if m.role == "user"]
        ids = [question.id for question in questions]
        editing = self.desk.editing
        place = ids.index(editing) + step if editing in ids else len(ids) - 1
        if editing in ids and place >= len(ids):
            self.desk.stop_editing()
            return True
        if not 0 <= place < len(ids):
            return bool(questions)
        self.desk.edit(ids[place], questions[place].content)
        return True

    def recall_step(self, step: int) -> None:
        """Bring an earlier (-1) or later (1) question into the composer."""
        self._recall = self._recall or Recall(self._questions)
        self.desk.recall(self._recall, step)

    def action_editor(self) -> None:
        """Write in $EDITOR."""
        from assistant.tui.editor import edit_text, editor_command, memory_directory

        composer = self.desk.composer
        with self.problems_shown():
            directory = memory_directory()
            if self.store is not self.history and directory is None:
                raise AssistantError(
                    "An editor needs a file, and a private conversation never touches the disk",
                    "Write here",
                )
            command = editor_command()
            try:
                with self.app.suspend():
                    text = edit_text(composer.text, command, directory)
            except SuspendNotSupported as error:
                raise AssistantError("This terminal cannot be lent to an editor") from error
            composer.write(text)
        self.app.refresh()
        composer.focus()

    # --- answers -------------------------------------------------------------------------

    async def regenerate(self, message_id: str = "") -> None:
        """Answer the last question again, or that of a message."""
        if self.busy or self.model is None or not self.transcript.last_question:
            return
        if message_id:
            said = self.transcript.said(message_id)
            await self.transcript.cut(message_id, keep=isinstance(said, Question))
        else:
            await self.transcript.remove_answer()
        await self.transcript.add(Answer(waiting=True))
        self.transcript.follow()
        self.begin(lambda session, cancel: session.regenerate(cancel, message_id))

    async def continue_answer(self) -> None:
        """Go on with the last answer where it ended."""
        answer = self.transcript.last_answer
        if self.model is None or answer is None or not self.can_continue:
            return
        answer.wait()
        self.transcript.follow()
        self.begin(lambda session, cancel: session.continue_answer(cancel))

    async def show_version(self, step: int, message_id: str = "") -> None:
        """Show the version before (-1) or after (1) a message's, the last answer's if empty."""
        if not message_id and self.last_answer is not None:
            message_id = self.last_answer.id
        if not message_id or self.busy:
            return
        with self.problems_shown():
            ids = [version.id for version in self.store.siblings(message_id)]
            wanted = ids.index(message_id) + step
            if 0 <= wanted < len(ids):
                chosen = self.chosen is not None
                self.store.select(ids[wanted])
                await self.open_conversation(self.conversation_id, ids[wanted] if chosen else "")

    def _toggle_details(self, said: Said) -> None:
        with self.problems_shown():
            message = self.store.message(said.message_id)
            said.set_details("" if said.details else details_of(message))


def details_of(message: StoredMessage) -> str:
    """Return how an answer was made, on one line."""
    options = restored_options(message.options, GenerationOptions())
    names = {field.name for field in dataclasses.fields(Completion)}
    statistics = {k: v for k, v in message.statistics.items() if k in names}
    parts = [sanitize_line(message.model, 40), local_time(message.created), shown_options(options)]
    if statistics:
        parts += [
            f"{statistics.get('prompt_tokens', 0)} tokens read",
            f"{statistics.get('output_tokens', 0)} said",
            f"{statistics.get('tokens_per_second', 0):.0f} tokens/s",
            f"first after {statistics.get('time_to_first_token_ms', 0) / 1000:.2f} s",
        ]
    return " · ".join(part for part in parts if part)
