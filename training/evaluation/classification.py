"""Measure a classifier, a checkpoint's or a bundle's, on labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assistant.plugin_api import Classifier
from training.evaluation.metrics import bootstrap_intervals, reliability
from training.finetuning.augmentation import diluted
from training.finetuning.classifier_report import by_source, is_positive
from training.finetuning.labelled_text import LabelledText

BATCH_TEXTS = 256


def evaluate_classifier(classifier: Classifier, texts: Sequence[LabelledText]) -> dict[str, Any]:
    """Return ``figures`` (all texts and each source), bootstrap ``intervals`` (95%), the bins of
    a ``reliability`` diagram, and the texts judged most wrongly.

    Raises:
        ValueError: no texts.
    """
    if not texts:
        raise ValueError("No labelled text to evaluate on: see --split and the data")
    probabilities: list[float] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        scores = classifier.score([text.text for text in texts[start : start + BATCH_TEXTS]])
        probabilities += [score.probability for score in scores]
    p = np.array(probabilities)
    low, high = classifier.unsure
    wrong = sorted(range(len(texts)), key=lambda i: p[i] if texts[i].label else 1 - p[i])
    worst = [i for i in wrong[:20] if (p[i] >= high) != bool(texts[i].label)]
    return {
        "threshold": high,
        "unsure_from": low,
        "figures": by_source(texts, p, high, low),
        "intervals": bootstrap_intervals(is_positive(texts), p, high),
        "reliability": reliability(is_positive(texts), p),
        "worst": {
            texts[i].key: {"label": texts[i].label, "probability": round(float(p[i]), 4)}
            for i in worst
        },
    }


def dilution_figures(
    classifier: Classifier, texts: Sequence[LabelledText], lengths: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Return the recall on positive texts that are padded with innocent ones.

    Whoever sends spam can pad it at no cost: a filter that averages over the text goes blind.

    Args:
        lengths: characters of padding, taken from the texts without the positive label.
    """
    innocent = "\n".join(text.text.partition("\n\n")[2] for text in texts if not text.label)
    positive = [text.text for text in texts if text.label]
    figures = {"unpadded": _caught(classifier, positive)}
    for length in lengths:
        for in_front in (False, True):
            place = "in front" if in_front else "behind"
            padded = [diluted(text, innocent[:length], in_front) for text in positive]
            figures[f"{length} characters {place}"] = _caught(classifier, padded)
    return figures


def _caught(classifier: Classifier, texts: Sequence[str]) -> dict[str, float]:
    low, high = classifier.unsure
    p = np.array([score.probability for score in classifier.score(texts)])
    return {
        "n": float(len(p)),
        "recall": round(float(np.mean(p >= high)), 6),
        "recall_or_unsure": round(float(np.mean(p >= low)), 6),
    }
