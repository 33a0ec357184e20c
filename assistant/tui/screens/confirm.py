"""A question with two answers."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from assistant.text import sanitize_line


class ConfirmScreen(ModalScreen[bool]):
    """Returns True when the person agrees; the harmless answer has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "No"),
        Binding("y", "answer(True)", "Yes"),
    ]

    def __init__(self, question: str, detail: str, yes: str) -> None:
        super().__init__()
        self._question, self._detail, self._yes = question, detail, yes

    def compose(self) -> ComposeResult:
        """Lay out the question and the two buttons."""
        with Vertical(id="dialog"):
            yield Static(sanitize_line(self._question), markup=False, classes="dialog-title")
            yield Static(sanitize_line(self._detail), markup=False, classes="note")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Keep", id="no", compact=True)
                yield Button(self._yes, id="yes", compact=True, classes="-danger")

    def action_answer(self, agreed: bool) -> None:
        """Close with an answer."""
        self.dismiss(agreed)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
