"""Painting an answer that grows: not while nobody looks, and not before what a person types."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.timer import Timer

if TYPE_CHECKING:
    from assistant.tui.screens.rooms import RoomsScreen

WRITING = 0.4  # seconds after a key in which a person is taken to write on
PAINT_WHILE_WRITING = 0.2  # seconds between two paintings of an answer meanwhile


class Painting:
    """Shows the pieces of the last answer of a screen's transcript, or has them wait."""

    def __init__(self, screen: RoomsScreen) -> None:
        self._screen = screen
        self._later: Timer | None = None
        self.painted_at = 0.0

    async def grow(self, text: str) -> None:
        """Take a piece."""
        answer = self._screen.transcript.last_answer
        if answer is None:
            return
        now = time.monotonic()
        writing = now - self._screen.desk.composer.typed_at < WRITING
        follows = self._screen.transcript.follows
        if follows and not (writing and now - self.painted_at < PAINT_WHILE_WRITING):
            self.painted_at = now
            await answer.grow(text)
            return
        answer.hold(text)
        if follows and self._later is None:
            self._later = self._screen.set_timer(PAINT_WHILE_WRITING, self._paint_held)

    async def _paint_held(self) -> None:
        self._later = None
        answer = self._screen.transcript.last_answer
        if answer is not None and answer.holds and self._screen.transcript.follows:
            self.painted_at = time.monotonic()
            await answer.grow("")
