"""Style sheets that are read once."""

from __future__ import annotations

from textual.css.stylesheet import Stylesheet


class SteadyStylesheet(Stylesheet):
    """Reads its sources again only when the colours have changed.

    An application reads all of them anew when it announces its first theme, which is a tenth
    of what it takes to start.
    """

    _changed = False

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take other colours, if they are others."""
        if variables != self._variables:
            super().set_variables(variables)
            self._changed = True

    def reparse(self) -> None:
        """Read the sources with the new colours, if there are any."""
        if self._changed:
            super().reparse()
            self._changed = False
