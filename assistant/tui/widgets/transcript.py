"""The conversation on the screen: questions, answers, cards and notices, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button

from assistant.handbook.reading import handbook_line
from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.question import Question
from assistant.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from assistant.history import StoredMessage

PAGE = 40  # messages mounted at once: a year-long conversation opens as fast as a short one

NOTES = {
    "stopped": "Stopped",
    "interrupted": "Interrupted: the program ended before the answer did",
    "failed": "Failed",
    "streaming": "Still being written elsewhere",
}
CUT_NOTES = {"length": "Cut at the longest answer allowed", "context": "Cut: the context is full"}


def note_of(message: StoredMessage) -> str:
    """Return the quiet line under an answer: why it is not complete, or empty."""
    if message.status == "failed" and message.error:
        return f"Failed: {message.error}"
    note = NOTES.get(message.status, "")
    note = note or CUT_NOTES.get(str(message.statistics.get("stop_reason", "")), "")
    return " · ".join(part for part in (note, handbook_line(message.statistics)) if part)


class Transcript(VerticalScroll):
    """Follows its end until the person scrolls up, and again once they are back at the end."""

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self._earlier: list[StoredMessage] = []

    def compose(self) -> ComposeResult:
        """Lay out the column: never lower than the view, or a short one would hang at its end."""
        yield Vertical(id="column")

    def on_mount(self) -> None:
        """Follow the end from the start."""
        self.anchor()

    @property
    def column(self) -> Vertical:
        """What scrolls."""
        return self.query_one("#column", Vertical)

    async def show(self, messages: Sequence[StoredMessage]) -> None:
        """Show a conversation, or the welcome when it is empty."""
        with self.app.batch_update():
            await self.column.remove_children()
            self.column.set_class(not messages, "-empty")
            if not messages:
                await self.column.mount(Welcome())
                return
            self._earlier, shown = list(messages[:-PAGE]), messages[-PAGE:]
            widgets = [self._widget(message) for message in shown]
            if self._earlier:
                widgets.insert(0, Button("Show earlier messages", compact=True, id="earlier"))
            await self.column.mount_all(widgets)
        self.follow()

    async def add(self, *widgets: Widget) -> None:
        """Append widgets; the welcome leaves."""
        await self.query(Welcome).remove()
        self.column.remove_class("-empty")
        await self.column.mount_all(widgets)

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.anchor()

    def show_start(self, widget: Widget) -> None:
        """Show a widget at the end from its first line, even where it is higher than the view."""

        def settled() -> None:
            if widget.is_mounted and widget.outer_size.height > self.size.height:
                self.release_anchor()
                self.scroll_to_widget(widget, animate=False, top=True)

        self.follow()
        self.call_after_refresh(settled)

    @property
    def last_answer(self) -> Answer | None:
        """The last answer on the screen."""
        answers = self.query(Answer)
        return answers.last() if answers else None

    async def remove_answer(self) -> None:
        """Remove the answer to the last question, if it has one."""
        turns = self.query("Question, Answer")
        if turns and isinstance(turns.last(), Answer):
            await turns.last().remove()

    @property
    def last_question(self) -> str:
        """The last question on the screen, or empty."""
        questions = self.query(Question)
        return questions.last().content if questions else ""

    def focus_examples(self) -> bool:
        """Move to the welcome's examples; tell whether they are there."""
        welcome = self.query(Welcome)
        if welcome:
            welcome.first().focus_examples()
        return bool(welcome)

    @staticmethod
    def _widget(message: StoredMessage) -> Widget:
        if message.role == "user":
            return Question(message.content)
        return Answer(message.content, note_of(message))

    @on(Button.Pressed, "#earlier")
    async def _show_earlier(self, event: Button.Pressed) -> None:
        event.stop()
        button = event.button
        page = self._earlier[-PAGE:]
        self._earlier = self._earlier[:-PAGE]
        self.release_anchor()
        await self.column.mount_all([self._widget(m) for m in page], after=button)
        if not self._earlier:
            await button.remove()
