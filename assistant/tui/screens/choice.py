"""One of several things, by a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from assistant.text import sanitize_line
from assistant.tui.themes import MUTED


@dataclass(frozen=True)
class Choice:
    """A row: what is returned, its name, and a line about it."""

    value: str
    label: str
    help: str = ""


class ChoiceScreen(ModalScreen[str | None]):
    """Returns the chosen value, None when nothing was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(self, title: str, choices: Sequence[Choice], current: str = "") -> None:
        super().__init__()
        self._title, self._choices, self._current = title, choices, current

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(id="dialog", classes="-calm"):
            yield Static(self._title, markup=False, classes="dialog-title")
            if self._choices:
                yield OptionList(*map(self._option, self._choices), id="choices", markup=False)
            else:
                yield Static("There is nothing to choose from", markup=False, classes="note")
            yield Static("Enter chooses, Esc goes back", markup=False, classes="note page-note")

    def _option(self, choice: Choice) -> Option:
        now = choice.value == self._current
        parts: list[str | tuple[str, str]] = [
            ("● " if now else "  ", "$primary"),
            (sanitize_line(choice.label, 40), "bold"),
        ]
        if choice.help:
            parts.append((f"\n  {sanitize_line(choice.help, 120)}", MUTED))
        return Option(Content.assemble(*parts))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index].value)
