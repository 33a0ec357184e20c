"""Conversations put aside: keys and values of prompts that may come back.

The generator's buffers hold one conversation. When another takes its place, what it computed is
copied here; when it comes back, copying it in again takes milliseconds where computing it again
would take a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEFAULT_LIMIT_BYTES = 64 * 2**20


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of leading tokens that two sequences share."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


@dataclass(frozen=True)
class Snapshot:
    """Tokens and their keys and values: one array [K, tokens, E] for each buffer."""

    tokens: tuple[int, ...]
    arrays: tuple[NDArray[np.float32], ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays)


class PrefixCache:
    """Snapshots within a memory limit; the one unused for longest goes first."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._snapshots: list[Snapshot] = []  # the most recently used last

    @property
    def size_bytes(self) -> int:
        """Bytes held now."""
        return sum(snapshot.size_bytes for snapshot in self._snapshots)

    def longest(self, tokens: Sequence[int]) -> tuple[int, Snapshot | None]:
        """Return the snapshot that shares most leading tokens, and how many."""
        shared = [(common_prefix(s.tokens, tokens), n) for n, s in enumerate(self._snapshots)]
        count, index = max(shared, default=(0, -1))
        return (count, self._snapshots[index]) if count else (0, None)

    def keep(self, tokens: Sequence[int], buffers: Iterable[NDArray[np.float32]]) -> None:
        """Copy the keys and values of ``tokens`` out of buffers [1, K, C, E].

        Nothing happens when a snapshot holds them already; else see ``add``.
        """
        kept = tuple(tokens)
        for snapshot in self._snapshots:
            if snapshot.tokens[: len(kept)] == kept:
                self._touch(snapshot)
                return
        arrays = tuple(buffer[0, :, : len(kept)].copy() for buffer in buffers)
        self.add(Snapshot(kept, arrays))

    def add(self, new: Snapshot) -> None:
        """Take a snapshot in; those that it continues are dropped, and it when it is too large."""
        kept = new.tokens
        if new.size_bytes > self.limit_bytes:
            return
        others = [s for s in self._snapshots if s.tokens != kept[: len(s.tokens)]]
        self._snapshots = [*others, new]
        while self.size_bytes > self.limit_bytes:
            del self._snapshots[0]

    def restore(
        self, snapshot: Snapshot, count: int, buffers: Iterable[NDArray[np.float32]]
    ) -> None:
        """Copy the first ``count`` tokens of a snapshot into buffers [1, K, C, E].

        A snapshot used to its end is let go: the buffers hold it now.
        """
        for array, buffer in zip(snapshot.arrays, buffers, strict=True):
            buffer[0, :, :count] = array[:, :count]
        self._touch(snapshot)
        if count == len(snapshot.tokens):
            self._snapshots = [s for s in self._snapshots if s is not snapshot]

    def _touch(self, snapshot: Snapshot) -> None:
        """Make a snapshot the most recently used; one that had to go already stays gone."""
        others = [s for s in self._snapshots if s is not snapshot]
        if len(others) < len(self._snapshots):
            self._snapshots = [*others, snapshot]
