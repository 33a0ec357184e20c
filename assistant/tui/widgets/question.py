"""What the person said: plain text, folded when it is long."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from assistant.text import sanitize
from assistant.tui.widgets.said import Said

FOLDED_LINES = 10
FOLDED_CHARACTERS = 1000
UNFOLDED_CHARACTERS = 100_000  # more would make every layout of the screen slow


class Question(Said):
    """A message of the person's; a long one shows its first lines until it is unfolded."""

    ACTIONS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("edit", "Edit"),
        ("copy", "Copy"),
        ("quote", "Quote"),
    )

    def __init__(self, content: str, message_id: str = "") -> None:
        super().__init__(sanitize(content).strip("\n"), message_id, "question")
        lines = self.content.split("\n")
        self._start = "\n".join(lines[:FOLDED_LINES])[:FOLDED_CHARACTERS].rstrip()
        self._hidden_lines = len(lines) - FOLDED_LINES
        self._folded = self._hidden_lines > 2 or len(self.content) > 2 * FOLDED_CHARACTERS

    def compose(self) -> ComposeResult:
        """Lay out the text and, for a long one, the line that unfolds it."""
        yield Static(self._shown(), markup=False, classes="question-text")
        if self._folded:
            yield Static(self._hint(), markup=False, classes="note question-fold")
        yield self.note_widget()

    def _shown(self) -> Content:
        return Content(self._start if self._folded else self.content[:UNFOLDED_CHARACTERS])

    def _hint(self) -> str:
        if not self._folded:
            if len(self.content) > UNFOLDED_CHARACTERS:
                return "… the rest is too long to show here; Enter folds"
            return "Click or Enter folds"
        more = f"{self._hidden_lines} more lines" if self._hidden_lines > 0 else "more"
        return f"… {more}, click or Enter shows"

    def fold(self) -> None:
        """Fold or unfold a long one."""
        for hint in self.query(".question-fold").results(Static):
            self._folded = not self._folded
            self.query_one(".question-text", Static).update(self._shown())
            hint.update(self._hint())

    def on_click(self, event: events.Click) -> None:
        """Fold or unfold where the hint was clicked."""
        if event.widget is not None and event.widget.has_class("question-fold"):
            event.stop()
            self.fold()
        else:
            super().on_click(event)
