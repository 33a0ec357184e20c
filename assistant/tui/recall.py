"""Walking through the questions asked before, as in a shell's history."""

from __future__ import annotations

from collections.abc import Callable


class Recall:
    """Earlier questions, the newest first; read when the walk begins.

    What was being written waits at the near end of the walk.
    """

    def __init__(self, read: Callable[[], list[str]]) -> None:
        self._read = read
        self._items: list[str] = []
        self._place = -1  # -1 is what was being written
        self._draft = ""

    def step(self, written: str, step: int) -> str | None:
        """Return the question before (-1) or after (1) what is written; None at either end."""
        shown = self._items[self._place] if self._place >= 0 else None
        if written != shown:  # edited since, or a new walk
            self._place, self._draft = -1, written
            self._items = [item for item in self._read() if item != written]
        place = self._place - step
        if not -1 <= place < len(self._items) or place == self._place:
            return None
        self._place = place
        return self._items[place] if place >= 0 else self._draft
