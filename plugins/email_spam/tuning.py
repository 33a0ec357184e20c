"""Cross-validation on the person's own marks: what a head would have done, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.plugin_api import BadInputError
from plugins.email_spam.head import Head, Vector, fit_views, sigmoid

FEWEST = 20  # of each label
FOLDS, INNER_FOLDS = 5, 3
STRENGTHS = tuple(10.0**-power for power in range(8))
MOST_TO_CHOOSE = 1000  # marks that the strength is chosen on
_SEED = 0
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Marks:
    """Marked mails as arrays: embeddings [N, D], the model's log-odds [N], spam or not [N]."""

    embedding_ND: NDArray[np.float32]
    model_N: Vector
    spam_N: Flags

    def __getitem__(self, rows: NDArray[np.int64]) -> Marks:
        """Return some of the rows."""
        return Marks(self.embedding_ND[rows], self.model_N[rows], self.spam_N[rows])

    def __len__(self) -> int:
        """Return N."""
        return len(self.spam_N)


@dataclass(frozen=True)
class ThresholdFigures:
    """What a threshold would have done: spam found and good mail caught, before and after."""

    threshold: float
    found_before: int
    caught_before: int
    found_after: int
    caught_after: int


@dataclass(frozen=True)
class Tuning:
    """A head fitted on all marks, and what cross-validation says of its like.

    "Before" is the model alone; "after" is, for each mail, a head that never saw that mail.
    """

    head: Head
    auc_before: float
    auc_after: float
    loss_before: float
    loss_after: float
    thresholds: tuple[ThresholdFigures, ...]
    suggested: float | None

    @property
    def better(self) -> bool:
        """Whether the head predicts unseen marks better than the model alone."""
        return self.loss_after < self.loss_before


def tune(marks: Marks, revision: str, thresholds: Sequence[float]) -> Tuning:
    """Fit a head and measure it by nested cross-validation.

    Raises:
        BadInputError: fewer than ``FEWEST`` marks of a label.
    """
    spam = int(marks.spam_N.sum())
    ham = len(marks) - spam
    if min(spam, ham) < FEWEST:
        raise BadInputError(
            f"There are {spam} mails marked as spam and {ham} as ham; {FEWEST} of each are needed",
            "Mark more with `assistant spam mark FILE spam` or `... ham`",
        )
    after = np.zeros(len(marks))
    for held_out in folds(marks.spam_N, FOLDS):
        rest = marks[_others(held_out, len(marks))]
        head = _fitted(rest, revision)
        part = marks[held_out]
        after[held_out] = head.log_odds(part.embedding_ND, part.model_N)
    final = _fitted(marks, revision)
    return Tuning(
        head=final,
        auc_before=roc_auc(marks.spam_N, marks.model_N),
        auc_after=roc_auc(marks.spam_N, after),
        loss_before=balanced_loss(marks.spam_N, marks.model_N),
        loss_after=balanced_loss(marks.spam_N, after),
        thresholds=tuple(_figures(t, marks, after) for t in sorted(set(thresholds))),
        suggested=_threshold_without_losses(marks.spam_N, sigmoid(after)),
    )


def _fitted(marks: Marks, revision: str) -> Head:
    strengths = (choose_strength(marks),)
    return fit_views(marks.embedding_ND, marks.model_N, marks.spam_N, strengths, revision)[0]


def choose_strength(marks: Marks) -> float:
    """Return the regularization under which held-out marks are predicted best."""
    if len(marks) > MOST_TO_CHOOSE:
        count = -(-len(marks) // MOST_TO_CHOOSE)
        marks = marks[folds(marks.spam_N, count)[0]]
    predicted = np.zeros((len(STRENGTHS), len(marks)))
    for held_out in folds(marks.spam_N, INNER_FOLDS):
        rest, part = marks[_others(held_out, len(marks))], marks[held_out]
        heads = fit_views(rest.embedding_ND, rest.model_N, rest.spam_N, STRENGTHS)
        for row, head in zip(predicted, heads, strict=True):
            row[held_out] = head.log_odds(part.embedding_ND, part.model_N)
    losses = [balanced_loss(marks.spam_N, row) for row in predicted]
    return STRENGTHS[int(np.argmin(losses))]


def folds(spam_N: Flags, count: int) -> list[NDArray[np.int64]]:
    """Split row numbers into stratified folds, the same ones every time."""
    random = np.random.default_rng(_SEED)
    parts: list[list[int]] = [[] for _ in range(count)]
    for label in (True, False):
        for position, row in enumerate(random.permutation(np.flatnonzero(spam_N == label))):
            parts[position % count].append(int(row))
    return [np.array(sorted(part), np.int64) for part in parts]


def roc_auc(spam_N: Flags, score_N: Vector) -> float:
    """Return the area under the ROC curve: P(a spam scores above a ham), ties count half."""
    _, rank, counts = np.unique(score_N, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    spam, ham = int(spam_N.sum()), int((~spam_N).sum())
    return float((mean_rank[rank][spam_N].sum() - spam * (spam + 1) / 2) / (spam * ham))


def balanced_loss(spam_N: Flags, log_odds_N: Vector) -> float:
    """Return the mean logistic loss (nats), both classes weighing the same."""
    loss = np.logaddexp(0, np.where(spam_N, -log_odds_N, log_odds_N))
    return float((loss[spam_N].mean() + loss[~spam_N].mean()) / 2)


def _figures(threshold: float, marks: Marks, after: Vector) -> ThresholdFigures:
    before_hit, after_hit = sigmoid(marks.model_N) >= threshold, sigmoid(after) >= threshold
    spam = marks.spam_N
    return ThresholdFigures(
        threshold,
        int((before_hit & spam).sum()),
        int((before_hit & ~spam).sum()),
        int((after_hit & spam).sum()),
        int((after_hit & ~spam).sum()),
    )


def _threshold_without_losses(spam_N: Flags, probability_N: Vector) -> float | None:
    """Return the lowest threshold, in hundredths, that would have caught no good mail.

    Never below a half: that no mail of a few dozen was caught says little of the next.
    """
    worst = float(probability_N[~spam_N].max())
    threshold = max(0.5, np.floor(worst * 100 + 1) / 100)
    return float(threshold) if threshold < 1 else None


def _others(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(count), rows)
