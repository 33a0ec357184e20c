"""A line of the program's own in the transcript: a calm message, a list, a problem."""

from __future__ import annotations

from typing import Literal

from textual.content import Content
from textual.widgets import Static

from assistant.errors import AssistantError
from assistant.text import sanitize
from assistant.tui.themes import MUTED

Kind = Literal["info", "problem"]


class Notice(Static):
    """Plain text from the program, in the margin's colour; ``hint`` on its own line."""

    def __init__(self, text: str, hint: str = "", kind: Kind = "info") -> None:
        self.text = sanitize(text)
        self.hint = sanitize(hint)
        parts: list[str | Content | tuple[str, str]] = [self.text]
        if self.hint:
            parts.append((f"\n{self.hint}", MUTED))
        super().__init__(Content.assemble(*parts), markup=False, classes=f"notice -{kind}")

    @classmethod
    def problem(cls, error: AssistantError) -> Notice:
        """Return the notice of an error a person should read."""
        return cls(error.message, error.hint, "problem")
