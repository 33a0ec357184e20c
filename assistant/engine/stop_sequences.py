"""Ending an answer where a given text would begin."""

from __future__ import annotations

from collections.abc import Sequence


class StopSequences:
    """Cuts a stream of text before the first stop sequence.

    Text that may turn out to be the beginning of one is held back until it is known.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Return what may be said now, and whether a stop sequence was met."""
        held = self._held + text
        found = [at for s in self._sequences if (at := held.find(s)) >= 0]
        if found:
            self._held = ""
            return held[: min(found)], True
        keep = max((_overlap(held, sequence) for sequence in self._sequences), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep], False

    def rest(self) -> str:
        """Return what is still held back: the text ended before it became a stop sequence."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str) -> int:
    """Length of the longest end of ``text`` that begins ``sequence``."""
    for length in range(min(len(text), len(sequence) - 1), 0, -1):
        if text.endswith(sequence[:length]):
            return length
    return 0
