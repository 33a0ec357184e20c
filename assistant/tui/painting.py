"""Painting an answer that grows: not while nobody looks, and not before what a person types."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.timer import Timer

if TYPE_CHECKING:
    from assistant.tui.screens.rooms import RoomsScreen

WRITING = 0.4  # seconds after a key in which a person is taken to write on
PAINT_WHILE_WRITING = 0.2  # seconds between two paintings of an answer meanwhile
REST = 1.0  # after a painting, in times of what it took: half of the time is left for keys
REST_WHILE_WRITING = 4.0
LONGEST_REST = 1.0  # seconds


class Painting:
    """Shows the pieces of the last answer of a screen's transcript, or has them wait.

    A painting of a long answer on a busy machine takes a while: the next one waits in proportion,
    so that keys are never kept waiting by more than one.
    """

    def __init__(self, screen: RoomsScreen) -> None:
        self._screen = screen
        self._later: Timer | None = None
        self._began = self._took = 0.0
        self._running = False  # from a painting's begin until it is on the terminal

    async def grow(self, text: str) -> None:
        """Take a piece."""
        answer = self._screen.transcript.last_answer
        if answer is None:
            return
        answer.hold(text)
        if self._screen.transcript.follows and self._later is None:
            await self._paint()

    async def _paint(self) -> None:
        """Paint what is held, now or as soon as it may be."""
        self._later = None
        answer = self._screen.transcript.last_answer
        if answer is None or not answer.holds or not self._screen.transcript.follows:
            return
        wait = self._until_next()
        if wait > 0:
            self._later = self._screen.set_timer(wait, self._paint)
            return
        self._began, self._running = time.monotonic(), True
        await answer.grow("")
        self._screen.call_after_refresh(self._painted)

    def _until_next(self) -> float:
        """Return the seconds until the next painting may begin."""
        now = time.monotonic()
        writing = now - self._screen.desk.composer.typed_at < WRITING
        took = now - self._began if self._running else self._took
        rest = min(LONGEST_REST, (REST_WHILE_WRITING if writing else REST) * took)
        return self._began + max(took + rest, PAINT_WHILE_WRITING * writing) - now

    def _painted(self) -> None:
        self._took, self._running = time.monotonic() - self._began, False
