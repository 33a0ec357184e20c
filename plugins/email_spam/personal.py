"""The classifier as this person has it: the shipped model, a head of one's own, one's thresholds.

Everything else of the plugin asks this classifier and does not know what it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assistant.plugin_api import EmbeddingClassifier, Score, load_classifier
from plugins.email_spam.canonical import FORM
from plugins.email_spam.views import Views

if TYPE_CHECKING:
    from plugins.email_spam.head import Head
    from plugins.email_spam.settings import Settings


@dataclass(frozen=True)
class PersonalClassifier:
    """Implements ``assistant.plugin_api.Classifier``; ``base`` is the bundle's own."""

    base: EmbeddingClassifier
    settings: Settings
    head: Head | None = None

    @property
    def name(self) -> str:
        """Name of the bundle, with "-tuned" when a head is in use."""
        return f"{self.base.name}-tuned" if self.head else self.base.name

    @property
    def key(self) -> str:
        """Changes whenever a probability may: model, what is read of a mail, head."""
        base = f"{self.base.name}@{self.base.scoring}/{FORM}"
        if self.head is None:
            return base
        import hashlib

        head = hashlib.sha256(self.head.to_json().encode()).hexdigest()[:12]
        return f"{base}+{head}"

    @property
    def threshold(self) -> float:
        """The person's threshold, else the bundle's."""
        own = self.settings.threshold
        return self.base.threshold if own is None else own

    @property
    def unsure(self) -> tuple[float, float]:
        """Probabilities in [low, high) are "unsure"."""
        own = self.settings.unsure_from
        low = self.base.unsure[0] if own is None else own
        return min(low, self.threshold), self.threshold

    def score_quickly(self, texts: Sequence[str]) -> list[Score]:
        """Score texts for their verdicts; a head needs them read as its marks were."""
        return self.score(texts) if self.head else self.base.score_quickly(texts)

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Score texts; with a head, ``probability`` is the head's, ``windows`` the model's."""
        if self.head is None:
            return self.base.score(texts)
        if not texts:
            return []
        import numpy as np

        from plugins.email_spam.head import logit, sigmoid

        scores = self.base.embed(texts)
        embeddings = np.stack([np.asarray(score.embedding, np.float32) for score in scores])
        model = np.array([logit(score.probability) for score in scores])
        probabilities = sigmoid(self.head.log_odds(embeddings, model))
        return [
            replace(score, probability=float(p))
            for score, p in zip(scores, probabilities, strict=True)
        ]


def load_personal(model: str) -> PersonalClassifier:
    """Return the classifier of a bundle with this person's head and thresholds.

    Raises:
        ModelError: the bundle is missing, damaged or no classifier.
        StorageError: the plugin's database cannot be read.
    """
    from plugins.email_spam.marks import active_head
    from plugins.email_spam.settings import load_settings

    base = Views(load_classifier(model))
    return PersonalClassifier(base, load_settings(), active_head(base.revision))


def base_classifier() -> EmbeddingClassifier:
    """Return the bundle's own classifier, as marks read it, without what the person taught."""
    from plugins.email_spam.checking import MODEL

    return Views(load_classifier(MODEL))
