"""The list of ways to complete the slash command that is being typed."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from assistant.text import sanitize_line
from assistant.tui.slash import Completion
from assistant.tui.themes import MUTED

WIDEST = 96  # columns, see frontdesk.tcss
MARGINS = 4  # columns beside a row, the scroll bar's among them


class Completions(OptionList, can_focus=False):
    """Stands above the composer; the composer keeps the focus and sends its arrow keys here."""

    def __init__(self) -> None:
        super().__init__(id="completions", markup=False, compact=True)
        self._completions: list[Completion] = []
        self.display = False

    def show(self, completions: Sequence[Completion], choose: bool = True) -> None:
        """List these, or hide when there are none; ``choose`` highlights the first."""
        if list(completions) == self._completions:
            return
        self._completions = list(completions)
        self.clear_options()
        # one line each: a list whose rows wrap cannot be read at a glance
        desk = self.parent.content_size.width if isinstance(self.parent, Widget) else 0
        room = max(20, min(WIDEST, desk or self.app.size.width) - MARGINS)
        width = min(max((len(c.label) for c in completions), default=0) + 3, room * 2 // 5)
        self.add_options(
            Option(
                Content.assemble(
                    (sanitize_line(c.label, width - 2).ljust(width), "$primary"),
                    (sanitize_line(c.help, room - width), MUTED),
                )
            )
            for c in completions
        )
        self.display = bool(completions)
        self.highlighted = 0 if completions and choose else None

    @property
    def chosen(self) -> Completion | None:
        """The highlighted one, None when there is none."""
        if not self.display or self.highlighted is None:
            return None
        return self._completions[self.highlighted]

    @property
    def first(self) -> Completion | None:
        """The highlighted one, else the first."""
        return self.chosen or (self._completions[0] if self.display else None)

    def at(self, index: int) -> Completion:
        """Return the one of a row."""
        return self._completions[index]
