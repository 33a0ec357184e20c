"""Measure a classifier, a checkpoint's or a bundle's, on labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assistant.plugin_api import Classifier
from training.finetuning.classifier_report import by_source
from training.finetuning.labelled_text import LabelledText

BATCH_TEXTS = 256


def evaluate_classifier(classifier: Classifier, texts: Sequence[LabelledText]) -> dict[str, Any]:
    """Return ``figures`` (all texts and each source), and the texts judged most wrongly.

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
        "worst": {
            texts[i].key: {"label": texts[i].label, "probability": round(float(p[i]), 4)}
            for i in worst
        },
    }
