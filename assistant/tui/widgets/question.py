"""What the person said: plain text, folded when it is long."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from assistant.text import sanitize

FOLDED_LINES = 10


class Question(Vertical):
    """A message of the person's; a long one shows its first lines until it is clicked."""

    def __init__(self, content: str) -> None:
        super().__init__(classes="question")
        self.content = sanitize(content).strip("\n")
        self._lines = self.content.split("\n")
        self._folded = len(self._lines) > FOLDED_LINES + 2

    def compose(self) -> ComposeResult:
        """Lay out the text and, for a long one, the line that unfolds it."""
        yield Static(self._shown(), markup=False, classes="question-text")
        if self._folded:
            yield Static(self._hint(), markup=False, classes="note question-fold")

    def _shown(self) -> Content:
        lines = self._lines[:FOLDED_LINES] if self._folded else self._lines
        return Content("\n".join(lines))

    def _hint(self) -> str:
        more = len(self._lines) - FOLDED_LINES
        return f"… {more} more lines, click to show" if self._folded else "click to fold"

    def on_click(self) -> None:
        """Fold or unfold."""
        folds = self.query(".question-fold")
        if folds and not self.screen.get_selected_text():
            self._folded = not self._folded
            self.query_one(".question-text", Static).update(self._shown())
            folds.first(Static).update(self._hint())
