"""A page of text: to look at, or to change."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from assistant.text import sanitize, sanitize_line

MOST_SHOWN = 200_000  # characters; laying out more would hold up the screen


class TextScreen(ModalScreen[str | None]):
    """Returns the changed text, None when it is left as it was.

    Args:
        title: what it is.
        text: what is in it.
        read_only: to look at.
        note: a quiet line below.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", priority=True),
        Binding("ctrl+s", "save", "Save", priority=True),
    ]

    def __init__(self, title: str, text: str, read_only: bool = False, note: str = "") -> None:
        super().__init__()
        self._title, self._text, self._read_only = title, sanitize(text), read_only
        if len(text) > MOST_SHOWN:
            note = f"The first {MOST_SHOWN:,} of {len(text):,} characters"
        self._note = note

    def compose(self) -> ComposeResult:
        """Lay out the page."""
        keys = "Esc goes back" if self._read_only else "Ctrl+S saves, Esc goes back"
        with Vertical(id="page"):
            yield Static(sanitize_line(self._title), markup=False, classes="dialog-title")
            yield TextArea(
                self._text[:MOST_SHOWN], read_only=self._read_only, compact=True, id="page-text"
            )
            note = f"{self._note} · {keys}" if self._note else keys
            yield Static(note, markup=False, classes="note page-note")

    def on_mount(self) -> None:
        """Put the keyboard into the text."""
        area = self.query_one(TextArea)
        area.focus()
        if not self._read_only:
            area.move_cursor(area.document.end)

    def action_save(self) -> None:
        """Close with what is written."""
        if not self._read_only:
            self.dismiss(self.query_one(TextArea).text)
