"""From margins to probabilities one can act on: temperature and bias, threshold, unsure band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """p = sigmoid(margin / temperature + bias)."""

    temperature: float = 1.0
    bias: float = 0.0

    def probability(self, margin: Array) -> Array:
        """Return calibrated probabilities of the positive label."""
        return sigmoid(np.asarray(margin, np.float64) / self.temperature + self.bias)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x))))


def negative_log_likelihood(positive: NDArray[np.bool_], probability: Array) -> float:
    """Return the mean of -log p(label)."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return float(-np.mean(np.where(positive, np.log(p), np.log1p(-p))))


def fit_calibration(positive: NDArray[np.bool_], margin: Array, steps: int = 100) -> Calibration:
    """Fit slope and bias by Newton's method on the smoothed labels of Platt.

    Smoothing (https://www.microsoft.com/en-us/research/publication/probabilities-for-sv-machines/)
    keeps the temperature above 0 where the two labels are perfectly apart.

    Args:
        positive: whether each text has the positive label.
        margin: logit of the positive label minus the other's.
    """
    positive = np.asarray(positive, bool)
    margin = np.asarray(margin, np.float64)
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        raise ValueError("Calibration needs both labels in the validation data")
    target = np.where(positive, (yes + 1) / (yes + 2), 1 / (no + 2))
    scale = max(float(np.abs(margin).mean()), 1e-9)
    x = np.stack([margin / scale, np.ones_like(margin)], axis=1)
    weights = np.array([1.0, 0.0])

    def loss(w: Array) -> float:
        z = x @ w
        return float(np.mean(np.logaddexp(0, z) - target * z))

    for _ in range(steps):
        p = sigmoid(x @ weights)
        gradient = x.T @ (p - target) / len(target)
        hessian = (x * (p * (1 - p))[:, None]).T @ x / len(target) + 1e-9 * np.eye(2)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while loss(weights - size * step) > loss(weights) and size > 1e-6:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    slope = max(float(weights[0]) / scale, 1e-3)
    return Calibration(temperature=1 / slope, bias=float(weights[1]))


def calibrated_losses(positive: NDArray[np.bool_], margin: Array) -> Array:
    """Return -log p(label) of each text, calibrated on these very texts."""
    probability = fit_calibration(positive, margin).probability(margin)
    right = np.where(positive, probability, 1 - probability)
    losses: Array = -np.log(np.clip(right, 1e-12, 1))
    return losses


def no_worse(losses: Array, best: Array) -> bool:
    """Whether losses are as low as the best ones: on average within a standard error of the
    differences."""
    worse = losses - best
    return bool(worse.mean() <= worse.std() / len(worse) ** 0.5)


def threshold_for_budget(
    positive: NDArray[np.bool_], probability: Array, budget: float, lowest: float = 0.5
) -> float:
    """Return the smallest threshold >= ``lowest`` that flags at most ``budget`` of the others.

    Args:
        budget: allowed false-positive rate on the texts without the positive label.

    Raises:
        ValueError: the budget is no fraction, or there is no such text.
    """
    if not 0 <= budget < 1:
        raise ValueError(f"false_positive_budget {budget}: expected a fraction such as 0.005")
    good = np.sort(np.asarray(probability, np.float64)[~np.asarray(positive, bool)])[::-1]
    if not len(good):
        raise ValueError("A threshold needs texts without the positive label")
    allowed = int(budget * len(good) + 1e-9)
    if allowed >= len(good) or good[allowed] < lowest:
        return lowest
    # p >= threshold is flagged: the first one beyond the budget must stay below
    return float(np.nextafter(good[allowed], 2.0))


def unsure_from(
    positive: NDArray[np.bool_],
    probability: Array,
    threshold: float,
    recall: float = 0.99,
    lowest: float = 0.2,
) -> float:
    """Return where "unsure" begins: from there on up is ``recall`` of the positive texts.

    Never below ``lowest`` (what is improbable is not unsure) nor above the threshold.
    """
    found = np.asarray(probability, np.float64)[np.asarray(positive, bool)]
    if not len(found):
        return threshold
    return float(np.clip(np.quantile(found, 1 - recall), min(lowest, threshold), threshold))
