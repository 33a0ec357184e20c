"""The line that stands in the transcript while a plugin works."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from assistant.text import sanitize_line
from assistant.tui.themes import MUTED
from assistant.tui.widgets.gauge import gauge

BAR_WIDTH = 24


class Progress(Static):
    """A title, a bar once there is progress to show, and the key that cancels."""

    def __init__(self, title: str) -> None:
        super().__init__(markup=False, classes="notice -progress")
        self._title = sanitize_line(title, 60)
        self.advance(0.0)

    def advance(self, fraction: float) -> None:
        """Show a fraction in [0, 1]."""
        full = round(fraction * BAR_WIDTH)
        self.update(
            Content.assemble(
                f"{self._title}…  ",
                gauge(full, BAR_WIDTH, "$primary"),
                ("  Esc cancels", MUTED),
            )
        )
