"""Keys and commands on one page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from assistant.tui.slash import Command

KEYS = (
    ("Enter", "Send"),
    ("Shift+Enter, Ctrl+J", "New line"),
    ("Esc", "Stop the answer or a check"),
    ("Ctrl+N", "New conversation"),
    ("Ctrl+B", "Show or hide the conversations"),
    ("Ctrl+F", "Search all conversations"),
    ("Ctrl+R", "Answer the last question again"),
    ("Alt+Left, Alt+Right", "Switch between the versions of the last answer"),
    ("Ctrl+G", "Go on with a stopped answer"),
    ("Ctrl+Y", "Copy the last answer"),
    ("PgUp, PgDn", "Scroll"),
    ("Up", "Bring the last question back, or choose an example"),
    ("Tab", "Move on: buttons, lists, the composer"),
    ("Ctrl+P", "All commands, and the themes"),
    ("Ctrl+C", "Stop the answer, else leave"),
    ("Ctrl+Q", "Leave"),
)
PASTE = (
    "A paste of five lines or more waits above the composer until you say what to do with it. "
    "Nothing of it reaches the model before."
)


def rows(pairs: Iterable[tuple[str, str]]) -> Iterator[Horizontal]:
    """Yield two columns, each wrapped on its own."""
    for left, right in pairs:
        yield Horizontal(
            Static(left, markup=False, classes="help-left"),
            Static(right, markup=False, classes="help-right"),
            classes="help-row",
        )


class HelpScreen(ModalScreen[None]):
    """Keys, commands (a plugin's among them) and what happens to pastes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,enter", "dismiss(None)", "Back"),
    ]

    def __init__(self, commands: Iterable[Command]) -> None:
        super().__init__()
        self._commands = list(commands)

    def compose(self) -> ComposeResult:
        """Lay out the page."""
        with VerticalScroll(id="help"):
            yield Static("Keys", markup=False, classes="help-heading")
            yield from rows(KEYS)
            yield Static("Commands", markup=False, classes="help-heading")
            yield from rows((c.usage, c.help) for c in self._commands)
            yield Static("Pastes", markup=False, classes="help-heading")
            yield Static(PASTE, markup=False)
            yield Static("Esc goes back", markup=False, classes="note help-end")
