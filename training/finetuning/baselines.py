"""What simple methods reach on the same split: the figures a model has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.finetuning.labelled_text import LabelledText


@dataclass(frozen=True)
class Baseline:
    """A named method and its probabilities for each set of texts."""

    name: str
    probabilities: dict[str, NDArray[np.float64]]


def majority(
    train: Sequence[LabelledText], sets: dict[str, Sequence[LabelledText]], positive: int
) -> Baseline:
    """Give every text the training data's share of the positive label."""
    share = float(np.mean([text.label == positive for text in train]))
    return Baseline("majority", {name: np.full(len(texts), share) for name, texts in sets.items()})


def logistic_regression(
    train: Sequence[LabelledText],
    sets: dict[str, Sequence[LabelledText]],
    positive: int,
    seed: int = 1,
) -> Baseline:
    """TF-IDF of words and word pairs, and logistic regression, by scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, max_features=200_000, sublinear_tf=True, dtype=np.float32
    )
    model = LogisticRegression(C=10.0, solver="liblinear", random_state=seed)
    model.fit(
        vectorizer.fit_transform([text.text for text in train]),
        [text.label == positive for text in train],
    )
    return Baseline(
        "tf-idf + logistic regression",
        {
            name: model.predict_proba(vectorizer.transform([text.text for text in texts]))[:, 1]
            for name, texts in sets.items()
            if texts
        },
    )
