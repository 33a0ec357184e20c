"""Calibrate a classifier on validation texts and measure it on all the others."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assistant.engine.windows import Windows, by_text
from training.checkpoint import Checkpoint
from training.evaluation.metrics import (
    bootstrap_intervals,
    classification_metrics,
    recall_at_fpr,
    reliability,
    roc_auc,
)
from training.finetuning.baselines import Baseline, logistic_regression, majority
from training.finetuning.calibration import (
    Calibration,
    fit_calibration,
    negative_log_likelihood,
    threshold_for_budget,
    unsure_from,
)
from training.finetuning.classifier_config import ClassifierConfig, DecisionConfig
from training.finetuning.labelled_text import LabelledText
from training.finetuning.ngrams import (
    choose_share,
    fit_ngrams,
    ngram_margins,
    scaled,
    together,
)
from training.finetuning.pooling import POSITIVE, choose_later_penalty, largest, padded_texts
from training.finetuning.scoring import text_margins
from training.ngrams import NGramScore

Split = Literal["validation", "test", "left out"]


def is_positive(texts: Sequence[LabelledText]) -> NDArray[np.bool_]:
    """Return which texts carry the positive label."""
    return np.array([text.label == POSITIVE for text in texts], bool)


def shipped_margins(
    checkpoint: Checkpoint, cut: Sequence[Sequence[Sequence[int]]]
) -> list[NDArray[np.float64]]:
    """Return the margins that the exported 8-bit graph computes, for texts cut into windows."""
    from assistant.engine.classifier import OnnxClassifier
    from training.exporting.export import export_bundle

    undecided = {"threshold": 0.5, "unsure": [0.2, 0.5], "calibration": asdict(Calibration())}
    exported = replace(checkpoint, extra=checkpoint.extra | undecided)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = export_bundle(exported, Path(scratch) / "bundle", "bundle", quantization="int8")
        margins = OnnxClassifier(bundle).margins([w for windows in cut for w in windows])
    return by_text(margins, cut)


def margins_of(
    checkpoint: Checkpoint, texts: Sequence[LabelledText], as_shipped: bool = False
) -> list[NDArray[np.float64]]:
    """Return the margins of each text's windows, cut as at runtime."""
    assert checkpoint.classifier is not None
    windows = Windows.of(checkpoint.extra["windows"])
    cut = [windows.cut(text.text, checkpoint.tokenizer) for text in texts]
    if as_shipped:
        return shipped_margins(checkpoint, cut)
    return text_margins(checkpoint.classifier, cut)


def decide(
    positive: NDArray[np.bool_], margin: NDArray[np.float64], decision: DecisionConfig
) -> dict[str, Any]:
    """Fit temperature, bias, threshold and the unsure band to validation margins.

    Returns:
        what ``Checkpoint.extra`` of a classifier holds besides windows and metrics.
    """
    calibration = fit_calibration(positive, margin)
    probability = calibration.probability(margin)
    threshold = threshold_for_budget(
        positive, probability, decision.false_positive_budget, decision.lowest_threshold
    )
    low = unsure_from(
        positive, probability, threshold, decision.unsure_recall, decision.unsure_lowest
    )
    before = Calibration().probability(margin)
    return {
        "calibration": asdict(calibration),
        "threshold": threshold,
        "unsure": [low, threshold],
        "calibration_loss": {
            "before": negative_log_likelihood(positive, before),
            "after": negative_log_likelihood(positive, probability),
        },
    }


def by_source(
    texts: Sequence[LabelledText],
    probability: NDArray[np.float64],
    threshold: float,
    unsure_low: float | None = None,
) -> dict[str, dict[str, float]]:
    """Return the metrics of all texts and of each source."""
    positive = is_positive(texts)
    sources = np.array([text.source for text in texts])
    figures = {"all": classification_metrics(positive, probability, threshold, unsure_low)}
    for source in sorted(set(sources)):
        chosen = sources == source
        figures[str(source)] = classification_metrics(
            positive[chosen], probability[chosen], threshold, unsure_low
        )
    return figures


def calibrate_and_report(
    checkpoint: Checkpoint,
    train: Sequence[LabelledText],
    sets: dict[Split, list[LabelledText]],
    config: ClassifierConfig,
) -> dict[str, Any]:
    """Decide on the validation texts, measure on all; adds the decision to ``extra``.

    Returns:
        ``decision`` (threshold, calibration, unsure band), for each set of texts the metrics by
        source, the test texts' ``intervals`` and ``reliability``, and ``baselines``: name to the
        same for each set. A baseline's threshold is set on the validation texts for the same
        false-positive budget.
    """
    filled: dict[str, Sequence[LabelledText]] = {name: t for name, t in sets.items() if t}
    assert checkpoint.classifier is not None
    checkpoint.classifier.ngrams = None  # those of an earlier call
    by_window = {
        name: margins_of(checkpoint, texts, config.decision.as_shipped)
        for name, texts in filled.items()
    }
    positive = is_positive(filled["validation"])
    padded_validation = padded_texts(filled["validation"])
    padded = margins_of(checkpoint, padded_validation, config.decision.as_shipped)
    alone = by_window
    if config.ngrams.buckets:
        score = fit_ngrams(
            train, checkpoint.tokenizer, config.max_tokens, config.ngrams, config.seed
        )
        wide = {name: _ngram_margins(checkpoint, score, texts) for name, texts in filled.items()}
        share = config.ngrams.share or choose_share(
            positive, by_window["validation"], wide["validation"]
        )
        by_window = {name: together(own, wide[name], share) for name, own in alone.items()}
        beside = _ngram_margins(checkpoint, score, padded_validation)
        padded = together(padded, beside, share)
        checkpoint.classifier.ngrams = scaled(score, share)
        checkpoint.extra["ngram_share"] = share
    penalty = choose_later_penalty(
        positive, by_window["validation"], padded, config.decision.false_positive_budget
    )
    checkpoint.extra["windows"]["later_penalty"] = penalty
    margins = {name: largest(own, penalty) for name, own in by_window.items()}
    checkpoint.extra |= decide(positive, margins["validation"], config.decision)
    report: dict[str, Any] = {"decision": dict(checkpoint.extra)}
    calibration = Calibration(**checkpoint.extra["calibration"])
    low, threshold = checkpoint.extra["unsure"]
    for name, texts in filled.items():
        probability = calibration.probability(margins[name])
        report[name] = by_source(texts, probability, threshold, low)
        if name == "test":
            labels = is_positive(texts)
            report["intervals"] = bootstrap_intervals(labels, probability, threshold)
            report["reliability"] = reliability(labels, probability)
    if config.ngrams.buckets:
        parts = {"transformer alone": alone, "n-grams alone": wide}
        report["parts"] = {
            part: {
                name: ranking(is_positive(texts), largest(found[name], penalty))
                for name, texts in filled.items()
            }
            for part, found in parts.items()
        }
    if not config.baselines:
        return report
    baselines = [
        majority(train, filled, POSITIVE),
        logistic_regression(train, filled, POSITIVE, config.seed),
    ]
    report["baselines"] = {b.name: _baseline(b, filled, config.decision) for b in baselines}
    return report


def _ngram_margins(
    checkpoint: Checkpoint, score: NGramScore, texts: Sequence[LabelledText]
) -> list[NDArray[np.float64]]:
    windows = Windows.of(checkpoint.extra["windows"])
    return ngram_margins(score, [windows.cut(text.text, checkpoint.tokenizer) for text in texts])


def ranking(positive: NDArray[np.bool_], margin: NDArray[np.float64]) -> dict[str, float]:
    """Return what margins are worth before a threshold is chosen."""
    return {
        "roc_auc": roc_auc(positive, margin),
        "recall_at_1pct_fpr": recall_at_fpr(positive, margin, 0.01),
    }


def _baseline(
    baseline: Baseline, sets: dict[str, Sequence[LabelledText]], decision: DecisionConfig
) -> dict[str, Any]:
    threshold = threshold_for_budget(
        is_positive(sets["validation"]),
        baseline.probabilities["validation"],
        decision.false_positive_budget,
        decision.lowest_threshold,
    )
    figures: dict[str, Any] = {"threshold": threshold}
    for name, texts in sets.items():
        figures[name] = by_source(texts, baseline.probabilities[name], threshold)
    return figures


def readable(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a fine-tuning as groups of figures, for ``to_markdown``."""
    decision = report["decision"]
    shown: dict[str, Any] = {
        "title": "Classification fine-tuning",
        "threshold": decision["threshold"],
        "unsure_from": decision["unsure"][0],
        **decision["calibration"],
        **report.get("training", {}),
    }
    for name in ("validation", "test", "left out"):
        if name not in report:
            continue
        shown[name] = report[name]
        compared = {"this model": report[name]["all"]}
        for baseline, figures in report.get("baselines", {}).items():
            compared[baseline] = figures[name]["all"]
        shown[f"{name}, compared"] = compared
        for part, figures in report.get("parts", {}).items():
            shown[f"{name}, {part}"] = figures[name]
    for name, title in (("intervals", "test, 95% intervals"), ("reliability", "reliability")):
        if name in report:
            shown[title] = report[name]
    return shown
