"""Which sentences of its notes a written answer was taken from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from assistant.conversation import Note
from assistant.handbook.sentences import sentences
from training.evaluation.text_metrics import cited

_ANSWER_END = re.compile(r"(?<=[.!?])\s+|\n")
_CITATION = re.compile(r"\[\d+\]")
_WORD = re.compile(r"[\w€$£%@.:'-]*\w|[€$£]")
NUMBER_WEIGHT = 2.5
"""A shared number tells more than a shared word."""


def note_sentences(notes: Sequence[Note]) -> list[tuple[int, str, str]]:
    """Return the sentences of notes: number, title, text."""
    return [
        (number, note.title, text)
        for number, note in enumerate(notes, start=1)
        for text in sentences(note.text)
    ]


def answer_sources(answer: str, parts: Sequence[tuple[int, str, str]]) -> list[int]:
    """Return the places in ``parts`` that an answer cites and shares most words with.

    Of each sentence of the answer and each note it cites that is one sentence of the note; a
    second one when it alone holds a number that the answer gives.
    """
    words_N = [_words(text) for _, _, text in parts]
    occurrences = Counter(word for words in words_N for word in words)

    def shared(place: int, said: set[str]) -> float:
        return sum(
            (NUMBER_WEIGHT if _is_number(word) else 1.0)
            * math.log(1 + len(parts) / occurrences[word])
            for word in words_N[place] & said
        )

    found: set[int] = set()
    for sentence in _ANSWER_END.split(answer):
        for number in cited(sentence):
            places = [n for n, part in enumerate(parts) if part[0] == number]
            left = _words(sentence)
            first = max(places, key=lambda n: shared(n, left), default=-1)
            if first < 0 or not shared(first, left):
                continue
            found.add(first)
            left -= words_N[first]
            second = max(places, key=lambda n: shared(n, left))
            if any(_is_number(word) for word in words_N[second] & left):
                found.add(second)
    return sorted(found)


def _is_number(word: str) -> bool:
    return any(letter.isdigit() for letter in word)


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(_CITATION.sub("", text))}
