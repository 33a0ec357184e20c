"""Which passages of a person's notes a question is about.

A small model reads a page badly and a passage well: only the passages nearest to the question are
put before it, and it is told when none is near (retrieval before reading, as in
https://arxiv.org/abs/2005.11401).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from assistant.conversation import Note
from assistant.handbook.query import search_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode = Callable[[str], "NDArray[np.float32]"]
"""A text to its vector of length one, [E]."""
REMEMBERED = 4096
"""Vectors kept: a follow-up about the same notes costs one more."""
CANDIDATES = 12
"""Passages looked at by the sentence, which takes several times as long as by the whole."""
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=[^\W\d_a-z]|[\"'“‘(\[]|\d)")


@dataclass(frozen=True)
class PassageSettings:
    """What decides which passages are read.

    Attributes:
        threshold: least score of a passage, else no note answers the question.
        margin: a passage whose score is lower than the best one's by more is left out.
        passages: most passages read.
        words: longest passage; a longer sentence is one all the same.
    """

    threshold: float = 0.36
    margin: float = 0.08
    passages: int = 2
    words: int = 60


@dataclass(frozen=True)
class Passage:
    """A run of whole sentences of a note.

    Attributes:
        number: of the note, from 1.
        score: how near it is to the question, a cosine.
    """

    number: int
    title: str
    sentences: tuple[str, ...]
    score: float = 0.0

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(self.sentences)


class PassageReader:
    """Finds passages; remembers the vectors of what it has read.

    Args:
        remembered: most vectors kept; None keeps all.
    """

    def __init__(
        self, encode: Encode, settings: PassageSettings, remembered: int | None = REMEMBERED
    ) -> None:
        self.encode, self.settings = encode, settings
        self._encode = lru_cache(remembered)(encode)

    def find(self, questions: Sequence[str], notes: Sequence[Note]) -> list[tuple[int, Note]]:
        """Return the passages to answer the last of a person's messages from, under their notes'
        numbers and in that order; none when none is near.

        Raises:
            ModelError: the encoder failed.
        """
        scored = sorted(self.scored(questions, notes), key=lambda passage: -passage.score)
        if not scored or scored[0].score < self.settings.threshold:
            return []
        floor = max(self.settings.threshold, scored[0].score - self.settings.margin)
        near = [each for each in scored[: self.settings.passages] if each.score >= floor]
        near.sort(key=lambda passage: passage.number)
        return [(passage.number, Note(passage.title, passage.text)) for passage in near]

    def scored(self, questions: Sequence[str], notes: Sequence[Note]) -> list[Passage]:
        """Return the passages that may be meant, with their scores.

        A passage is as near as its nearest sentence and the whole of it are, each for one half:
        a sentence holds the answer, its surroundings tell what it is about. It may be near to
        the last message alone, or with what that goes back to. Of many passages, those whose
        whole is near are looked at by the sentence.
        """
        last = " ".join(questions[-1].split()) if questions else ""
        asked = dict.fromkeys([last, search_text(questions)])  # often the same
        asked_QE = np.stack([self._encode(text) for text in asked])
        found = [
            (self._nearness([" ".join(sentences)], note.title, asked_QE), number, note, sentences)
            for number, note in enumerate(notes, start=1)
            for sentences in passages(note.text, self.settings.words)
        ]
        found.sort(key=lambda each: -float(each[0].max()))
        return [
            Passage(
                number,
                note.title,
                sentences,
                float((whole_Q + self._nearness(sentences, note.title, asked_QE)).max()) / 2,
            )
            for whole_Q, number, note, sentences in found[:CANDIDATES]
        ]

    def _nearness(
        self, texts: Sequence[str], title: str, asked_QE: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return how near the nearest of some texts of a note is to each question, [Q]."""
        vectors_TE = np.stack([self._encode(f"{title}: {text}") for text in texts])
        return (vectors_TE @ asked_QE.T).max(axis=0)


def passages(text: str, words: int) -> list[tuple[str, ...]]:
    """Cut a text at ends of sentences into even runs of at most so many words."""
    sentences = [part for part in _SENTENCE_END.split(" ".join(text.split())) if part]
    lengths = [len(sentence.split()) for sentence in sentences]
    runs = max(1, -(-sum(lengths) // words))
    share = sum(lengths) / runs
    found: list[list[str]] = []
    said = 0
    for sentence, length in zip(sentences, lengths, strict=True):
        # a sentence belongs to the run in whose share of the text its middle lies
        run = min(runs - 1, int((said + length / 2) / share))
        while len(found) <= run:
            found.append([])
        found[run].append(sentence)
        said += length
    return [tuple(run) for run in found if run]
