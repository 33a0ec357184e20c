"""What to do with a question that is longer than the model reads: never cut it silently."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Button, Static

from assistant.errors import TooLongError
from assistant.window import Part


class TooLong(Horizontal):
    """Posts ``Chosen``; the question is back in the composer meanwhile.

    Args:
        error: says by how much it is too long.
        text: the whole message.
        fixed: characters at its start that stay, see ``assistant.window.shortened``.
        editing: id of the question it takes the place of, or empty.
    """

    @dataclass
    class Chosen(Message):
        """Keep the start or the end and send it; None sends nothing."""

        question: TooLong
        keep: Part | None

    def __init__(self, error: TooLongError, text: str, fixed: int, editing: str) -> None:
        super().__init__(classes="chip -problem")
        self.error, self.text, self.fixed, self.editing = error, text, fixed, editing

    def compose(self) -> ComposeResult:
        """Lay out what is wrong and the three ways on."""
        error = self.error
        label = f"Too long: {error.tokens:,} tokens, the model reads {error.limit:,}"
        yield Static(label, markup=False, classes="chip-label")
        with Horizontal(classes="chip-buttons"):
            yield Button("Send the start", name="start", compact=True, classes="-main")
            yield Button("Send the end", name="end", compact=True, classes="-main")
            yield Button("Cancel", name="cancel", compact=True)

    def focus_first(self) -> None:
        """Put the keyboard on the harmless button."""
        self.query(Button).last().focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        name = event.button.name
        keep: Part | None = "start" if name == "start" else "end" if name == "end" else None
        self.post_message(self.Chosen(self, keep))
