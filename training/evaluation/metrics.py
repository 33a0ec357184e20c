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


def fpr_at_recall(positive: ArrayLike, score: ArrayLike, recall: float = 0.95) -> float:
    """Smallest false-positive rate of any threshold whose recall is at least ``recall``."""
    yes, score = np.asarray(positive, bool), np.asarray(score, np.float64)
    found = np.sort(score[yes])[::-1]
    if not len(found) or yes.all():
        return float("nan")
    needed = max(int(np.ceil(recall * len(found) - 1e-9)), 1)
    return float(np.mean(score[~yes] >= found[needed - 1]))


def brier(positive: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared error of the probabilities."""
    p = np.asarray(probability, np.float64)
    return float(np.mean((p - np.asarray(positive, np.float64)) ** 2))


def reliability(
    positive: ArrayLike, probability: ArrayLike, bins: int = 10
) -> dict[str, dict[str, float]]:
    """Return what a reliability diagram shows: each filled bin of equal width, "0.1-0.2" to
    ``n``, ``mean_probability`` and ``frequency`` of the positive label."""
    yes, p = np.asarray(positive, np.float64), np.asarray(probability, np.float64)
    place = np.minimum((p * bins).astype(int), bins - 1)
    found = {}
    for number in range(bins):
        inside = place == number
        if inside.any():
            found[f"{number / bins:g}-{(number + 1) / bins:g}"] = {
                "n": float(inside.sum()),
                "mean_probability": float(p[inside].mean()),
                "frequency": float(yes[inside].mean()),
            }
    return found


def expected_calibration_error(
    positive: ArrayLike, probability: ArrayLike, bins: int = 10
) -> float:
    """Mean distance of probability and frequency over equal-width bins, weighted by their size."""
    rows = reliability(positive, probability, bins).values()
    count = sum(row["n"] for row in rows)
    return sum(row["n"] / count * abs(row["mean_probability"] - row["frequency"]) for row in rows)


BOOTSTRAPPED = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "false_positive_rate",
    "roc_auc",
    "pr_auc",
    "recall_at_1pct_fpr",
    "brier",
)


def bootstrap_intervals(
    positive: ArrayLike,
    probability: ArrayLike,
    threshold: float,
    samples: int = 500,
    level: float = 0.95,
    seed: int = 1,
) -> dict[str, dict[str, float]]:
    """Return figures with the percentile interval of the bootstrap over texts
    (https://doi.org/10.1214/aos/1176344552): name to ``value``, ``low`` and ``high``.

    Texts are drawn within each label, so every resample has both.
    """
    yes, p = np.asarray(positive, bool), np.asarray(probability, np.float64)
    draw = np.random.default_rng(seed)
    groups = [group for group in (np.flatnonzero(yes), np.flatnonzero(~yes)) if len(group)]
    drawn: dict[str, list[float]] = {name: [] for name in BOOTSTRAPPED}
    for _ in range(samples):
        chosen = np.concatenate([draw.choice(group, len(group)) for group in groups])
        figures = classification_metrics(yes[chosen], p[chosen], threshold)
        for name in BOOTSTRAPPED:
            if name in figures:
                drawn[name].append(figures[name])
    measured = classification_metrics(yes, p, threshold)
    edges = ((1 - level) / 2, (1 + level) / 2)
    intervals = {}
    for name, values in drawn.items():
        if values and name in measured:
            low, high = np.quantile(values, edges)
            intervals[name] = {"value": measured[name], "low": float(low), "high": float(high)}
    return intervals


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
        "recall_at_0.1pct_fpr": recall_at_fpr(yes, p, 0.001),
        "fpr_at_95pct_recall": fpr_at_recall(yes, p, 0.95),
        "fpr_at_99pct_recall": fpr_at_recall(yes, p, 0.99),
        "brier": brier(yes, p),
        "expected_calibration_error": expected_calibration_error(yes, p),
    }
    if unsure_low is not None:
        figures["unsure_rate"] = float(np.mean((p >= unsure_low) & ~flagged))
    return {name: round(value, 6) for name, value in figures.items() if not np.isnan(value)}
