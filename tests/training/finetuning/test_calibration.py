"""Probabilities that mean something, thresholds that keep a budget."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from training.finetuning.calibration import (
    Calibration,
    fit_calibration,
    negative_log_likelihood,
    sigmoid,
    threshold_for_budget,
    unsure_from,
)

RNG = np.random.default_rng(1)


def _overconfident(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Margins whose true temperature is 3 and whose true bias is -0.7."""
    margin = RNG.normal(0, 6, n)
    return RNG.random(n) < sigmoid(margin / 3 - 0.7), margin


def test_calibration_finds_the_temperature_and_the_bias() -> None:
    positive, margin = _overconfident()
    calibration = fit_calibration(positive, margin)
    assert calibration.temperature == pytest.approx(3, rel=0.1)
    assert calibration.bias == pytest.approx(-0.7, abs=0.15)
    before = negative_log_likelihood(positive, Calibration().probability(margin))
    after = negative_log_likelihood(positive, calibration.probability(margin))
    assert after < before - 0.05


def test_calibration_agrees_with_an_unregularised_logistic_regression() -> None:
    positive, margin = _overconfident()
    reference = LogisticRegression(C=1e9).fit(margin[:, None], positive)
    calibration = fit_calibration(positive, margin)
    assert 1 / calibration.temperature == pytest.approx(reference.coef_[0, 0], rel=0.01)
    assert calibration.bias == pytest.approx(reference.intercept_[0], abs=0.01)


def test_labels_that_are_perfectly_apart_leave_the_probabilities_finite() -> None:
    margin = np.concatenate([np.full(50, -5.0), np.full(50, 5.0)])
    calibration = fit_calibration(margin > 0, margin)
    p = calibration.probability(margin)
    assert 0.9 < p[-1] < 1
    assert 0 < p[0] < 0.1
    assert calibration.temperature > 0


def test_margins_against_the_labels_keep_a_positive_temperature() -> None:
    margin = np.concatenate([np.full(50, -5.0), np.full(50, 5.0)])
    assert fit_calibration(margin < 0, margin).temperature > 0


def test_one_label_alone_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="both labels"):
        fit_calibration(np.ones(5, bool), np.zeros(5))


@pytest.mark.parametrize("budget", [0.0, 0.005, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("digits", [1, 2, 6])  # few digits: many ties
def test_a_threshold_stays_within_its_budget_and_wastes_none(budget: float, digits: int) -> None:
    positive = RNG.random(1000) < 0.5
    p = np.round(np.clip(RNG.beta(2, 2, 1000) + 0.1 * positive, 0, 1), digits)
    threshold = threshold_for_budget(positive, p, budget)
    good = p[~positive]
    assert threshold >= 0.5
    assert np.mean(good >= threshold) <= budget
    if threshold > 0.5:  # the next lower threshold would break the budget
        lower = good[good < threshold].max()
        assert np.mean(good >= lower) > budget


def test_a_threshold_is_never_below_a_half() -> None:
    assert threshold_for_budget(np.array([True, False]), np.array([0.3, 0.1]), 0.01) == 0.5


def test_impossible_budgets_are_refused() -> None:
    with pytest.raises(ValueError, match="false_positive_budget 5"):
        threshold_for_budget(np.array([True, False]), np.array([0.3, 0.1]), 5)
    with pytest.raises(ValueError, match="without the positive label"):
        threshold_for_budget(np.array([True]), np.array([0.3]), 0.01)


def test_unsure_reaches_down_to_the_wanted_recall_within_its_bounds() -> None:
    positive = np.ones(1000, bool)
    p = np.linspace(0, 1, 1000)
    assert unsure_from(positive, p, 0.8, recall=0.6) == pytest.approx(0.4, abs=0.01)
    assert unsure_from(positive, p, 0.8, recall=0.99) == 0.2
    assert unsure_from(positive, p, 0.8, recall=0.01) == 0.8
    assert unsure_from(~positive, p, 0.8) == 0.8


def test_sigmoid_survives_extreme_margins() -> None:
    with np.errstate(over="raise", invalid="raise"):
        assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
