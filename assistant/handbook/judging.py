"""Whether a sentence of a note answers a question: a second look at those that are near.

One vector says what a sentence is about, not whether it says what was asked. So each token of the
question is held against each token of the sentence and of those around it, as the encoder left
them (late interaction, https://arxiv.org/abs/2004.12832), and boosted trees
(https://doi.org/10.1214/aos/1013203451) weigh how well they match, together with how the sentence
stands among the others. No text is encoded twice for it.

Shapes: Q tokens of the question, T of a run of sentences, E width, N sentences, F figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from assistant.errors import ModelError
from assistant.handbook.encoder import Reading
from assistant.handbook.sentences import titled

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIGURES = (
    "nearness",  # cosine of sentence and question, the surroundings counted in
    "in place",  # cosine of the question and the sentence as it reads in its surroundings
    "question tokens",
    "sentence tokens",
    "needed",  # mean over the sentence's tokens of the nearest one of the question
    "said",  # mean over the question's tokens of the nearest one of the sentence, by weight
    "least said",  # the least of the three weightiest
    "mostly said",  # their mean
    "said around",  # the same three for the whole run that the sentence stands in
    "least said around",
    "mostly said around",
    "behind",  # how much less near than the nearest sentence
    "place",  # among all sentences, from 0
    "lead",  # of the nearest one on the second, less than 0 for others
    "elsewhere",  # nearness of the nearest sentence of another note
)
REMEMBERED = 64
"""Readings kept, up to 150 kB each: a follow-up about short notes reads nothing again."""
WEIGHTIEST = 3
FIRST_WORD, COMMON = 1990, 20
"""Where a WordPiece vocabulary's words begin, and how many of them weigh next to nothing."""


@dataclass(frozen=True)
class NearRun:
    """Sentences of a note that stand together, and how near each is to the question."""

    note: int
    title: str
    texts: tuple[str, ...]
    nearness: tuple[float, ...]


@dataclass(frozen=True)
class ReadRun:
    """Sentences of a note as the encoder read them, one behind the other.

    Attributes:
        spans: where each sentence's tokens begin and end.
        nearness: of each sentence to the question.
    """

    note: int
    reading: Reading
    spans: tuple[tuple[int, int], ...]
    nearness: tuple[float, ...]


def sentence_figures(question: Reading, runs: Sequence[ReadRun]) -> NDArray[np.float32]:
    """Return the ``FIGURES`` of each sentence of all runs, in their order, [N, F]."""
    rows = [row for run in runs for row in _matches(question, run)]
    if not rows:
        return np.zeros((0, len(FIGURES)), np.float32)
    nearness_N = np.array([near for run in runs for near in run.nearness], np.float32)
    notes_N = np.array([run.note for run in runs for _ in run.nearness])
    behind_N = nearness_N.max() - nearness_N
    place_N = np.argsort(np.argsort(-nearness_N, kind="stable"), kind="stable")
    second = float(np.sort(nearness_N)[-2]) if len(nearness_N) > 1 else 0.0
    lead_N = np.where(place_N == 0, nearness_N - second, -behind_N)
    elsewhere_N = [
        float(nearness_N[notes_N != note].max(initial=-1.0)) if (notes_N != note).any() else 0.0
        for note in notes_N
    ]
    among = np.stack([behind_N, place_N, lead_N, elsewhere_N], axis=1)
    return np.concatenate([np.array(rows), among], axis=1).astype(np.float32)


def _matches(question: Reading, run: ReadRun) -> list[list[float]]:
    """Return the figures of a run's sentences that need no other run."""
    asked = question.ids[1:-1]
    if not asked:
        return [[near, *[0.0] * 10] for near in run.nearness]
    cosine_QT = _unit(question.states[1:-1]) @ _unit(run.reading.states).T
    weight_Q = np.array([_weight(token) for token in asked])
    weightiest = np.argsort(-weight_Q, kind="stable")[:WEIGHTIEST]

    def said(best_Q: NDArray[np.float32]) -> list[float]:
        best = best_Q[weightiest]
        return [float(weight_Q @ best_Q / weight_Q.sum()), float(best.min()), float(best.mean())]

    around = said(cosine_QT[:, 1:-1].max(axis=1, initial=-1.0))
    rows = []
    for (start, end), near in zip(run.spans, run.nearness, strict=True):
        if end <= start:  # beyond what the encoder reads
            rows.append([near, *[0.0] * 7, *around])
            continue
        in_place = question.vector @ _unit(run.reading.states[start:end].mean(axis=0))
        own_QT = cosine_QT[:, start:end]
        counts = [float(len(asked)), float(end - start)]
        needed = float(own_QT.max(axis=0).mean())
        rows.append([near, float(in_place), *counts, needed, *said(own_QT.max(axis=1)), *around])
    return rows


def _weight(token: int) -> float:
    """Return how much a token tells: WordPiece vocabularies list common words first."""
    return max(0.1, math.log(max(token - FIRST_WORD, 1) / COMMON))


def _unit(states: NDArray[np.float32]) -> NDArray[np.float32]:
    return states / np.maximum(np.linalg.norm(states, axis=-1, keepdims=True), 1e-12)


class SentenceJudge:
    """The trees, as ``training handbook judge`` exports them.

    The graph takes ``figures`` float [N, F] and returns ``log_odds`` float [N, 1].
    """

    def __init__(self, graph: Path) -> None:
        """Open the graph; raises ModelError."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
            width = self._session.get_inputs()[0].shape[1]
        except Exception as error:  # onnxruntime raises a family without a common base
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The judge of sentences cannot be loaded ({reason})") from error
        if width != len(FIGURES):
            raise ModelError(
                f"The judge of sentences weighs {width} figures; this version has {len(FIGURES)}"
            )

    def log_odds(self, figures_NF: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-odds that each sentence answers, [N]; raises ModelError."""
        if not len(figures_NF):
            return np.zeros(0, np.float32)
        try:
            (found,) = self._session.run(["log_odds"], {"figures": figures_NF})
        except Exception as error:
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The judge of sentences failed ({reason})") from error
        return np.asarray(found, np.float32)[:, 0]


class ReadsTokens(Protocol):
    """An encoder that tells the states of single tokens; see ``OnnxTextEncoder``."""

    max_tokens: int

    def read(self, text: str) -> Reading:
        """Return what it makes of a text."""

    def count(self, text: str) -> int:
        """Return the number of a text's tokens, without start and end."""


class WeighsFigures(Protocol):
    """What makes log-odds of figures; see ``SentenceJudge``."""

    def log_odds(self, figures_NF: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-odds that each sentence answers, [N]."""


class SecondLook:
    """Reads question and sentences by their tokens; remembers what it has read."""

    def __init__(self, encoder: ReadsTokens, judge: WeighsFigures | None) -> None:
        """Without a judge there are figures, but no log-odds."""
        self.encoder, self.judge = encoder, judge
        self._read = lru_cache(REMEMBERED)(encoder.read)

    def vector(self, text: str) -> NDArray[np.float32]:
        """Return a text's vector, [E]; what is read now is not read again for its tokens."""
        return self._read(text).vector

    def figures(self, question: str, runs: Sequence[NearRun]) -> NDArray[np.float32]:
        """Return the figures of each sentence of all runs, in their order, [N, F]."""
        read = [part for run in runs for part in self._read_run(run)]
        return sentence_figures(self._read(question), read)

    def log_odds(self, question: str, runs: Sequence[NearRun]) -> NDArray[np.float32]:
        """Return the log-odds that each sentence answers, [N]; raises ModelError."""
        if self.judge is None:
            raise ModelError("There is no judge of sentences")
        return self.judge.log_odds(self.figures(question, runs))

    def _read_run(self, run: NearRun) -> list[ReadRun]:
        lengths = [self.encoder.count(text) for text in run.texts]
        start = 1 + self.encoder.count(titled(run.title, ""))
        if len(run.texts) > 1 and start + sum(lengths) >= self.encoder.max_tokens:
            # more than the encoder reads: each sentence by itself
            alone = [
                NearRun(run.note, run.title, (text,), (near,))
                for text, near in zip(run.texts, run.nearness, strict=True)
            ]
            return [part for one in alone for part in self._read_run(one)]
        reading = self._read(titled(run.title, " ".join(run.texts)))
        last = len(reading.ids) - 1
        spans = []
        for length in lengths:
            spans.append((min(start, last), min(start + length, last)))
            start += length
        return [ReadRun(run.note, reading, tuple(spans), run.nearness)]
