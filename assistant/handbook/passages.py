"""Which sentences of a person's notes a question is about.

A small model reads a page badly and a few sentences well: only those nearest to the question are
put before it, the nearest first, and it is told when none is near (retrieval before reading, as
in https://arxiv.org/abs/2005.11401).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from assistant.conversation import Note
from assistant.handbook.query import search_text
from assistant.handbook.sentences import runs, sentences

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode = Callable[[str], "NDArray[np.float32]"]
"""A text to its vector of length one, [E]."""
REMEMBERED = 4096
"""Vectors kept: a follow-up about the same notes costs one more."""
CANDIDATES = 12
"""Runs of sentences looked at by the sentence, which takes several times as long."""
RUN_WORDS = 60


@dataclass(frozen=True)
class PassageSettings:
    """What decides which sentences are read.

    Attributes:
        threshold: least score of the nearest one, else no note answers the question.
        margin: a sentence whose score is lower than the best one's by more is left out.
        elsewhere: the same for sentences of other notes than the best one's.
        sentences: most sentences read.
        surroundings: weight of the run of sentences that one stands in, in its score.
    """

    threshold: float = 0.38
    margin: float = 0.12
    elsewhere: float = 0.05
    sentences: int = 3
    surroundings: float = 0.5


@dataclass(frozen=True)
class Sentence:
    """A sentence of a note.

    Attributes:
        note: number of the note, from 1.
        score: how near it is to the question, a cosine.
    """

    note: int
    title: str
    text: str
    score: float = 0.0


class PassageReader:
    """Finds sentences; remembers the vectors of what it has read.

    Args:
        remembered: most vectors kept; None keeps all.
    """

    def __init__(
        self, encode: Encode, settings: PassageSettings, remembered: int | None = REMEMBERED
    ) -> None:
        self.encode, self.settings = encode, settings
        self._encode = lru_cache(remembered)(encode)

    def find(
        self,
        questions: Sequence[str],
        notes: Sequence[Note],
        needed: Collection[tuple[int, str]] = (),
    ) -> list[tuple[int, Note]]:
        """Return what to answer the last of a person's messages from: notes that hold nothing
        but the sentences found, under their numbers, the nearest first; none when none is near.

        Args:
            needed: sentences, each with its note's number, that are taken in any case.

        Raises:
            ModelError: the encoder failed.
        """
        scored = sorted(self.scored(questions, notes), key=lambda each: -each.score)
        near = [
            each
            for each in scored[: self.settings.sentences]
            if each.score >= self._floor(scored[0], each)
        ]
        near += [s for s in scored if (s.note, s.text) in needed and s not in near]
        found: dict[int, list[Sentence]] = {}
        for each in near:
            found.setdefault(each.note, []).append(each)
        return [
            (number, Note(parts[0].title, " ".join(part.text for part in parts)))
            for number, parts in found.items()
        ]

    def _floor(self, best: Sentence, other: Sentence) -> float:
        settings = self.settings
        margin = settings.margin if other.note == best.note else settings.elsewhere
        return max(settings.threshold, best.score - margin)

    def scored(self, questions: Sequence[str], notes: Sequence[Note]) -> list[Sentence]:
        """Return the sentences that may be meant, with their scores.

        A sentence holds the answer, its surroundings tell what it is about: both count. It may
        be near to the last message alone, or with what that goes back to. Of many runs, those
        that are near as a whole are looked at by the sentence.
        """
        last = " ".join(questions[-1].split()) if questions else ""
        asked = dict.fromkeys([last, search_text(questions)])  # often the same
        asked_QE = np.stack([self._encode(text) for text in asked])
        found = [
            (self._nearness(" ".join(run), note.title, asked_QE), number, note, run)
            for number, note in enumerate(notes, start=1)
            for run in runs(sentences(note.text), RUN_WORDS)
        ]
        found.sort(key=lambda each: -float(each[0].max()))
        share = self.settings.surroundings
        return [
            Sentence(
                number,
                note.title,
                text,
                float(
                    (share * run_Q + (1 - share) * self._nearness(text, note.title, asked_QE)).max()
                ),
            )
            for run_Q, number, note, run in found[:CANDIDATES]
            for text in run
        ]

    def _nearness(
        self, text: str, title: str, asked_QE: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return how near a text of a note is to each question, [Q]."""
        return asked_QE @ self._encode(titled(title, text))


def titled(title: str, text: str) -> str:
    """Return a part of a note as it is encoded."""
    return f"{title}: {text}"
