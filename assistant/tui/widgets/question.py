"""What the person said: plain text, folded when it is long."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from assistant.text import sanitize

FOLDED_LINES = 10
FOLDED_CHARACTERS = 1000


class Question(Vertical):
    """A message of the person's; a long one shows its first lines until it is clicked."""

    def __init__(self, content: str) -> None:
        super().__init__(classes="question")
        self.content = sanitize(content).strip("\n")
        lines = self.content.split("\n")
        self._start = "\n".join(lines[:FOLDED_LINES])[:FOLDED_CHARACTERS].rstrip()
        self._hidden_lines = len(lines) - FOLDED_LINES
        self._folded = self._hidden_lines > 2 or len(self.content) > 2 * FOLDED_CHARACTERS

    def compose(self) -> ComposeResult:
        """Lay out the text and, for a long one, the line that unfolds it."""
        yield Static(self._shown(), markup=False, classes="question-text")
        if self._folded:
            yield Static(self._hint(), markup=False, classes="note question-fold")

    def _shown(self) -> Content:
        return Content(self._start if self._folded else self.content)

    def _hint(self) -> str:
        if not self._folded:
            return "click to fold"
        more = f"{self._hidden_lines} more lines" if self._hidden_lines > 0 else "more"
        return f"… {more}, click to show"

    def on_click(self) -> None:
        """Fold or unfold."""
        folds = self.query(".question-fold")
        if folds and not self.screen.get_selected_text():
            self._folded = not self._folded
            self.query_one(".question-text", Static).update(self._shown())
            folds.first(Static).update(self._hint())
