"""Figures of generated text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_CITATION = re.compile(r"\[(\d{1,3})\]")


def words(text: str) -> list[str]:
    """Return the lower-case words of a text."""
    return _WORD.findall(text.lower())


def rouge_l(candidate: str, reference: str) -> float:
    """F1 of the longest common subsequence of words (https://aclanthology.org/W04-1013)."""
    a, b = words(candidate), words(reference)
    if not a or not b:
        return float(a == b)
    common = _longest_common_subsequence(a, b)
    return 2 * common / (len(a) + len(b))


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for left in a:
        diagonal = 0
        for index, right in enumerate(b, start=1):
            above = row[index]
            row[index] = diagonal + 1 if left == right else max(above, row[index - 1])
            diagonal = above
    return row[-1]


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's word n-grams that occurred in it before: 0 none, near 1 a loop."""
    found = words(text)
    grams = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def cites_only(text: str, notes: int) -> bool:
    """Whether a text cites at least one of the notes 1..n as [n], and no other."""
    cited = {int(number) for number in _CITATION.findall(text)}
    return bool(cited) and all(1 <= number <= notes for number in cited)
