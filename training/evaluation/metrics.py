"""The figures of binary classification, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def roc_auc(positive: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half."""
    yes = np.asarray(positive, bool)
    ranks = _average_ranks(np.asarray(score, np.float64))
    n_yes, n_no = int(yes.sum()), int((~yes).sum())
    if not n_yes or not n_no:
        return float("nan")
    return float((ranks[yes].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def _average_ranks(score: Array) -> Array:
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


def pr_auc(positive: ArrayLike, score: ArrayLike) -> float:
    """Average precision: precision at each recall step, weighted by the step."""
    yes, score = np.asarray(positive, bool), np.asarray(score, np.float64)
    if not yes.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(yes[order])
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # ties are one step
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at_fpr(positive: ArrayLike, score: ArrayLike, fpr: float = 0.01) -> float:
    """Largest recall of any threshold whose false-positive rate is at most ``fpr``."""
    yes, score = np.asarray(positive, bool), np.asarray(score, np.float64)
    good = np.sort(score[~yes])[::-1]
    if not len(good) or not yes.any():
        return float("nan")
    allowed = int(fpr * len(good) + 1e-9)
    if allowed >= len(good):
        return 1.0
    return float(np.mean(score[yes] > good[allowed]))


def brier(positive: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared error of the probabilities."""
    p = np.asarray(probability, np.float64)
    return float(np.mean((p - np.asarray(positive, np.float64)) ** 2))


def expected_calibration_error(
    positive: ArrayLike, probability: ArrayLike, bins: int = 10
) -> float:
    """Mean distance of probability and frequency over equal-width bins, weighted by their size."""
    yes, p = np.asarray(positive, np.float64), np.asarray(probability, np.float64)
    place = np.minimum((p * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        inside = place == number
        if inside.any():
            total += inside.mean() * abs(p[inside].mean() - yes[inside].mean())
    return float(total)


def classification_metrics(
    positive: ArrayLike, probability: ArrayLike, threshold: float, unsure_low: float | None = None
) -> dict[str, float]:
    """Return every figure for probabilities and a threshold (flagged: p >= threshold).

    A figure that is undefined (AUC with one label alone) is left out.
    """
    yes, p = np.asarray(positive, bool), np.asarray(probability, np.float64)
    flagged = p >= threshold
    tp, fp = int((flagged & yes).sum()), int((flagged & ~yes).sum())
    fn, tn = int((~flagged & yes).sum()), int((~flagged & ~yes).sum())

    def ratio(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    figures = {
        "n": float(len(yes)),
        "positive": float(tp + fn),
        "accuracy": ratio(tp + tn, len(yes)),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "false_positive_rate": ratio(fp, fp + tn),
        "roc_auc": roc_auc(yes, p),
        "pr_auc": pr_auc(yes, p) if not yes.all() else float("nan"),
        "recall_at_1pct_fpr": recall_at_fpr(yes, p, 0.01),
        "brier": brier(yes, p),
        "expected_calibration_error": expected_calibration_error(yes, p),
    }
    if unsure_low is not None:
        figures["unsure_rate"] = float(np.mean((p >= unsure_low) & ~flagged))
    return {name: round(value, 6) for name, value in figures.items() if not np.isnan(value)}
