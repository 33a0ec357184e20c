"""Figures of generated text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_CITATION = re.compile(r"\[(\d{1,3})\]")
_FACT = re.compile(r"https?://\S+|\S*\d\S*|\S+@\S+")


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


def chrf(candidate: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    """Return chrF, 0 to 1: F-beta of character n-grams up to ``order``, white space left out
    (https://aclanthology.org/W15-3049; precision and recall are averaged over the orders that
    both texts are long enough for, as sacreBLEU does)."""
    a, b = "".join(candidate.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, order + 1):
        mine, theirs = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (a, b))
        if mine and theirs:
            common = (mine & theirs).total()
            precisions.append(common / mine.total())
            recalls.append(common / theirs.total())
    if not precisions or not sum(precisions) + sum(recalls):
        return float(a == b)
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def facts(text: str) -> set[str]:
    """Return what must be copied exactly: numbers, codes, times, prices, addresses, links.

    Those are the words with a digit or an @ in them, and links; citations like [2] are none.
    """
    found = _FACT.findall(_CITATION.sub(" ", text))
    return {fact.strip(".,;:!?()[]{}<>\"'*`").lower() for fact in found} - {""}


def cited(text: str) -> set[int]:
    """Return the numbers of the notes that a text cites as [n]."""
    return {int(number) for number in _CITATION.findall(text)}


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's word n-grams that occurred in it before: 0 none, near 1 a loop."""
    found = words(text)
    grams = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def cites_only(text: str, notes: int) -> bool:
    """Whether a text cites at least one of the notes 1..n as [n], and no other."""
    numbers = cited(text)
    return bool(numbers) and all(1 <= number <= notes for number in numbers)
