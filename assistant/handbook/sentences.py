"""A note's sentences: what is found, read and cited as one."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z]|[\"'“‘(\[]|\d)")
_STEP = re.compile(r"(?:.*: )?1[.)]|\d{1,2}[.)]")


def sentences(text: str) -> list[str]:
    """Cut a text at the ends of its sentences; numbered steps stay together with their numbers."""
    found: list[str] = []
    in_steps = False
    number = ""
    for part in _END.split(" ".join(text.split())):
        if not part:
            continue
        if _STEP.fullmatch(part) and not number:
            number = part
            continue
        said = f"{number} {part}" if number else part
        if number and in_steps:
            found[-1] = f"{found[-1]} {said}"
        else:
            found.append(said)
        in_steps, number = bool(number), ""
    if number:
        found.append(number)
    return found


def runs(parts: list[str], words: int) -> list[tuple[str, ...]]:
    """Join sentences to even runs of at most so many words; a longer one is a run by itself."""
    lengths = [len(part.split()) for part in parts]
    count = max(1, -(-sum(lengths) // words))
    share = sum(lengths) / count
    found: list[list[str]] = []
    said = 0
    for part, length in zip(parts, lengths, strict=True):
        # a sentence belongs to the run in whose share of the text its middle lies
        run = min(count - 1, int((said + length / 2) / share))
        while len(found) <= run:
            found.append([])
        found[run].append(part)
        said += length
    return [tuple(run) for run in found if run]


def titled(title: str, text: str) -> str:
    """Return a part of a note as it is encoded."""
    return f"{title}: {text}"
