"""A classifier without weights: it counts words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from assistant.plugin_api import ModelError, Score

EMBEDDED = ("fee", "prize", "lottery", "grandma", "thanks", "bakery", "tea", "robot")


@dataclass
class WordClassifier:
    """Probability 0.05, more for each word of spam in the text, less for each of friends.

    Its embedding counts some words, among them two that it does not judge by.

    Attributes:
        texts: everything it was asked to score.
        reading: how texts are read; another name is another way.
        embedding_width: set it to 0 for a bundle without embeddings.
    """

    name: str = "email-spam"
    threshold: float = 0.8
    unsure: tuple[float, float] = (0.4, 0.8)
    texts: list[str] = field(default_factory=list)
    revision: str = "words-1"
    reading: str = "all"
    embedding_width: int = len(EMBEDDED)

    @property
    def scoring(self) -> str:
        """Changes with the revision and the reading."""
        return f"{self.revision}, {self.reading}"

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Score texts by their words."""
        self.texts += texts
        return [self._score(text) for text in texts]

    def score_quickly(self, texts: Sequence[str]) -> list[Score]:
        """Score texts; there is nothing quicker than counting words."""
        return self.score(texts)

    def embed(self, texts: Sequence[str]) -> list[Score]:
        """Score texts and count words."""
        if not self.embedding_width:
            raise ModelError(f"The model {self.name} computes no embeddings")
        scores = self.score(texts)
        return [
            replace(score, embedding=np.array([t.lower().count(w) for w in EMBEDDED], np.float32))
            for t, score in zip(texts, scores, strict=True)
        ]

    def _score(self, text: str) -> Score:
        bad = sum(text.lower().count(word) for word in ("fee", "prize", "lottery", "collect-fee"))
        good = sum(text.lower().count(word) for word in ("grandma", "thanks", "bakery"))
        probability = min(0.99, max(0.01, 0.05 + 0.3 * bad - 0.2 * good))
        return Score(probability, (probability,), len(text.split()))
