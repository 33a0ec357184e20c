"""Our figures against scikit-learn's and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from training.evaluation.metrics import (
    bootstrap_intervals,
    brier,
    classification_metrics,
    expected_calibration_error,
    fpr_at_recall,
    pr_auc,
    recall_at_fpr,
    reliability,
    roc_auc,
)
from training.evaluation.text_metrics import chrf, cited, cites_only, facts, repetition, rouge_l


def _case(seed: int, digits: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    positive = draw.random(400) < 0.3
    p = np.clip(draw.normal(0.4 + 0.2 * positive, 0.2), 0, 1)
    return positive, np.round(p, digits)


@pytest.mark.parametrize("digits", [1, 2, 9])  # few digits: many ties
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_figures_equal_scikit_learns(seed: int, digits: int) -> None:
    positive, p = _case(seed, digits)
    assert roc_auc(positive, p) == pytest.approx(sk.roc_auc_score(positive, p))
    assert pr_auc(positive, p) == pytest.approx(sk.average_precision_score(positive, p))
    assert brier(positive, p) == pytest.approx(sk.brier_score_loss(positive, p))
    fpr, tpr, _ = sk.roc_curve(positive, p, drop_intermediate=False)
    for budget in (0.0, 0.01, 0.1, 0.9, 1.0):
        assert recall_at_fpr(positive, p, budget) == pytest.approx(tpr[fpr <= budget].max())
    for recall in (0.01, 0.5, 0.95, 0.99, 1.0):
        assert fpr_at_recall(positive, p, recall) == pytest.approx(fpr[tpr >= recall].min())
    figures = classification_metrics(positive, p, 0.5, 0.3)
    flagged = p >= 0.5
    assert figures["precision"] == pytest.approx(sk.precision_score(positive, flagged), abs=1e-6)
    assert figures["recall"] == pytest.approx(sk.recall_score(positive, flagged), abs=1e-6)
    assert figures["f1"] == pytest.approx(sk.f1_score(positive, flagged), abs=1e-6)
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(positive, flagged), abs=1e-6)
    tn, fp, _, _ = sk.confusion_matrix(positive, flagged).ravel()
    assert figures["false_positive_rate"] == pytest.approx(fp / (fp + tn), abs=1e-6)
    assert figures["unsure_rate"] == pytest.approx(np.mean((p >= 0.3) & (p < 0.5)), abs=1e-6)


def test_calibration_error_equals_the_weighted_distance_of_the_bins() -> None:
    positive, p = _case(1, 9)
    frequency, mean = calibration_curve(positive, p, n_bins=10)
    counts = np.histogram(p, bins=np.linspace(0, 1, 11))[0]
    expected = np.sum(np.abs(frequency - mean) * counts[counts > 0]) / len(p)
    assert expected_calibration_error(positive, p) == pytest.approx(expected)
    assert expected_calibration_error([True, False], [1.0, 0.0]) == 0.0


def test_figures_that_one_label_leaves_undefined_are_left_out() -> None:
    only_spam = classification_metrics([True, True], [0.9, 0.2], 0.5)
    assert only_spam["recall"] == 0.5
    assert not {"roc_auc", "pr_auc", "false_positive_rate"} & set(only_spam)
    only_ham = classification_metrics([False, False], [0.9, 0.2], 0.5)
    assert only_ham["false_positive_rate"] == 0.5
    assert "recall" not in only_ham


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # the published example: "police kill the gunman" shares 3 of 4 words in order
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", reference) == pytest.approx(2 / 4)
    assert rouge_l("Police, killed THE gunman!", reference) == 1
    assert rouge_l("", reference) == 0
    assert rouge_l("", "") == 1


def test_repetition_is_none_in_new_text_and_near_one_in_a_loop() -> None:
    assert repetition("one two three four five six") == 0
    assert repetition("one two three four " * 100) > 0.95
    assert repetition("short") == 0


def test_a_citation_counts_only_when_the_note_is_there() -> None:
    assert cites_only("You can keep it for 7 days [2].", 4)
    assert not cites_only("You can keep it for 7 days [5].", 4)
    assert not cites_only("You can keep it for 7 days.", 4)


def test_reliability_equals_scikit_learns_curve() -> None:
    positive, p = _case(4, 9)
    bins = reliability(positive, p, 10)
    frequency, mean = calibration_curve(positive, p, n_bins=10)
    assert [row["frequency"] for row in bins.values()] == pytest.approx(frequency)
    assert [row["mean_probability"] for row in bins.values()] == pytest.approx(mean)
    assert sum(row["n"] for row in bins.values()) == len(p)
    assert next(iter(bins)) == "0-0.1"


def test_bootstrap_intervals_are_as_wide_as_the_binomials() -> None:
    draw = np.random.default_rng(0)
    positive = np.arange(1000) < 400
    p = np.where(draw.random(1000) < 0.8, positive, ~positive) * 0.8 + 0.1
    intervals = bootstrap_intervals(positive, p, 0.5, samples=400)
    recall = intervals["recall"]
    assert recall["low"] < recall["value"] < recall["high"]
    deviation = (recall["value"] * (1 - recall["value"]) / 400) ** 0.5
    assert recall["high"] - recall["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.2)
    assert "recall" not in bootstrap_intervals(~positive[:400], p[:400], 0.5, samples=5)


def _slow_chrf(candidate: str, reference: str) -> float:
    a, b = candidate.replace(" ", ""), reference.replace(" ", "")
    precisions, recalls = [], []
    for n in range(1, 7):
        mine = [a[i : i + n] for i in range(len(a) - n + 1)]
        left = [b[i : i + n] for i in range(len(b) - n + 1)]
        if not mine or not left:
            continue
        size, hits = len(left), 0
        for gram in mine:
            if gram in left:
                left.remove(gram)
                hits += 1
        precisions.append(hits / len(mine))
        recalls.append(hits / size)
    p, r = np.mean(precisions), np.mean(recalls)
    return float(5 * p * r / (4 * p + r)) if p + r else 0.0


def test_chrf_counts_the_character_n_grams_that_texts_share() -> None:
    assert chrf("the same", "the same") == 1
    assert chrf("abc", "xyz") == 0
    assert chrf("", "x") == 0
    for a, b in (("the cat sat", "the cat sits"), ("press OK", "press OK twice, then wait")):
        assert chrf(a, b) == pytest.approx(_slow_chrf(a, b))
    # recall weighs more than precision: too short is worse than too long
    assert chrf("press OK", "press OK twice") < chrf("press OK twice", "press OK")


def test_facts_are_what_must_be_copied_exactly() -> None:
    text = "Call (555) 0142 by 17:30, pay €12.50 [2], or write to help@example.org. See B-17!"
    assert facts(text) == {"555", "0142", "17:30", "€12.50", "help@example.org", "b-17"}
    assert cited("one [1], [3] and [12]") == {1, 3, 12}
