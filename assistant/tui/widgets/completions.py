"""The list of slash commands that complete what is being typed."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from assistant.tui.slash import Command
from assistant.tui.themes import MUTED


class Completions(OptionList, can_focus=False):
    """Stands above the composer; the composer keeps the focus and sends its arrow keys here."""

    def __init__(self) -> None:
        super().__init__(id="completions", markup=False, compact=True)
        self._commands: list[Command] = []
        self.display = False

    def show(self, commands: Sequence[Command]) -> None:
        """List these commands, or hide when there are none."""
        if list(commands) == self._commands:
            return
        self._commands = list(commands)
        self.clear_options()
        width = max((len(c.usage) for c in commands), default=0) + 3
        self.add_options(
            Option(Content.assemble((c.usage.ljust(width), "$primary"), (c.help, MUTED)))
            for c in commands
        )
        self.display = bool(commands)
        if commands:
            self.highlighted = 0

    @property
    def chosen(self) -> Command | None:
        """The highlighted command, None when the list is hidden."""
        if not self.display or self.highlighted is None:
            return None
        return self._commands[self.highlighted]

    def at(self, index: int) -> Command:
        """Return the command of a row."""
        return self._commands[index]
