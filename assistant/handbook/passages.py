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
from assistant.handbook.judging import NearRun
from assistant.handbook.query import search_text
from assistant.handbook.sentences import runs, sentences, titled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assistant.handbook.judging import SecondLook

Encode = Callable[[str], "NDArray[np.float32]"]
"""A text to its vector of length one, [E]."""
REMEMBERED = 4096
"""Vectors kept: a follow-up about the same notes costs one more."""
CANDIDATES = 12
"""Runs of sentences looked at by the sentence, which takes several times as long."""
RUN_WORDS = 60


@dataclass(frozen=True)
class PassageSettings:
    """What decides which sentences are read: cosines, or log-odds where there is a second look.

    Attributes:
        threshold: least score of the nearest one, else no note answers the question.
        margin: a sentence whose score is lower than the best one's by more is left out.
        elsewhere: the same for sentences of other notes than the best one's.
        sentences: most sentences read.
        surroundings: weight of the run of sentences that one stands in, in its nearness.
        further: least score of the sentences behind the nearest one; None: the threshold.
    """

    threshold: float = 0.38
    margin: float = 0.12
    elsewhere: float = 0.05
    sentences: int = 3
    surroundings: float = 0.5
    further: float | None = None


@dataclass(frozen=True)
class Sentence:
    """A sentence of a note.

    Attributes:
        note: number of the note, from 1.
        score: how near it is to the question, a cosine; after a second look the log-odds that it
            answers.
    """

    note: int
    title: str
    text: str
    score: float = 0.0


class PassageReader:
    """Finds sentences; remembers the vectors of what it has read.

    Args:
        remembered: most vectors kept; None keeps all.
        look: judges the sentences that are near; without one they are ranked by their cosines.
    """

    def __init__(
        self,
        encode: Encode,
        settings: PassageSettings,
        remembered: int | None = REMEMBERED,
        look: SecondLook | None = None,
    ) -> None:
        self.encode, self.settings, self.look = encode, settings, look
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
        near = scored[:1] if scored and scored[0].score >= self.settings.threshold else []
        if near:
            others = scored[1 : self.settings.sentences]
            near += [each for each in others if each.score >= self._floor(near[0], each)]
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
        least = settings.threshold if settings.further is None else settings.further
        return max(least, best.score - margin)

    def scored(self, questions: Sequence[str], notes: Sequence[Note]) -> list[Sentence]:
        """Return the sentences that may be meant, with their scores.

        A sentence holds the answer, its surroundings tell what it is about: both count. It may
        be near to the last message alone, or with what that goes back to. Of many runs, those
        that are near as a whole are looked at by the sentence, and judged where there is a judge.
        """
        near = self.near_runs(questions, notes)
        scores = [score for run in near for score in run.nearness]
        if self.look is not None and self.look.judge is not None:
            scores = self.look.log_odds(search_text(questions), near).tolist()
        texts = [(run.note, run.title, text) for run in near for text in run.texts]
        return [Sentence(*text, score) for text, score in zip(texts, scores, strict=True)]

    def near_runs(self, questions: Sequence[str], notes: Sequence[Note]) -> list[NearRun]:
        """Return the runs that are near as a whole, the nearest first."""
        last = " ".join(questions[-1].split()) if questions else ""
        asked = dict.fromkeys([last, search_text(questions)])  # often the same
        parts = [
            (number, note.title, run)
            for number, note in enumerate(notes, start=1)
            for run in runs(sentences(note.text), RUN_WORDS)
        ]
        encode: Encode = self._encode
        if self.look is not None and len(parts) <= CANDIDATES:
            encode = self.look.vector  # all are read by their tokens anyway
        asked_QE = np.stack([encode(text) for text in asked])
        run_PQ = [asked_QE @ encode(titled(title, " ".join(run))) for _, title, run in parts]
        nearest = sorted(range(len(parts)), key=lambda part: -float(run_PQ[part].max()))
        share = self.settings.surroundings
        found = []
        for part in nearest[:CANDIDATES]:
            number, title, run = parts[part]
            own = [asked_QE @ self._encode(titled(title, text)) for text in run]
            nearness = [float((share * run_PQ[part] + (1 - share) * own_Q).max()) for own_Q in own]
            found.append(NearRun(number, title, run, tuple(nearness)))
        return found
