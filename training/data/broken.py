"""Broken lines: named, counted and skipped, up to a limit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from assistant.errors import BadInputError

LONGEST_LINE = 32 * 2**20
"""Bytes of a JSON line; a longer one is counted as broken and skipped without being held."""
BROKEN = "broken.jsonl"
"""The list of them in a run's folder."""


@dataclass
class Broken:
    """Counts broken lines, names the first ones on stderr, and gives up beyond a limit.

    Args:
        setting: the one that sets the limit, for the message.
    """

    limit: int
    quiet: bool = False
    setting: str = "max_broken"
    found: list[tuple[str, str]] = field(default_factory=list)

    SHOWN = 10

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.found)

    def add(self, place: str, reason: str) -> None:
        """Count one.

        Raises:
            BadInputError: there are more than the limit.
        """
        self.found.append((place, reason))
        if self.count > self.limit:
            raise BadInputError(
                f"{place}: {reason}; that is broken line number {self.count}",
                f"Repair the data, or allow more with --set {self.setting}=...",
            )
        if self.count <= self.SHOWN and not self.quiet:
            print(f"warning: {place}: {reason}; skipped", file=sys.stderr)

    def write(self, directory: Path) -> None:
        """List all of them in a run's folder, and remove an earlier list."""
        path = directory / BROKEN
        path.unlink(missing_ok=True)
        if self.found:
            rows = [json.dumps({"place": place, "reason": why}) for place, why in self.found]
            path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def bounded_lines(
    stream: IO[bytes], at: int = 0, stop: int | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """Yield (number, line) of the lines that begin before ``stop``; None for one too long to hold.

    Args:
        at: bytes before the stream's position.
    """
    longest, number = LONGEST_LINE, 0
    while (stop is None or at < stop) and (line := stream.readline(longest)):
        number, at = number + 1, at + len(line)
        if len(line) < longest or line.endswith(b"\n"):
            yield number, line
            continue
        while (rest := stream.readline(longest)) and not rest.endswith(b"\n"):
            at += len(rest)
        at += len(rest)
        yield number, None


def too_long() -> str:
    """Return what is said of a line beyond the longest."""
    return f"longer than {LONGEST_LINE // 2**20} MiB"
