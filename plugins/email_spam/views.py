"""What a head reads of a mail: the model's embedding of all of it, and of its headers alone.

In the mean over a whole mail the dozen tokens of sender and subject count little, yet they are much
of what tells one person's mail apart. So they are read once more without the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.plugin_api import EmbeddingClassifier, Score

VIEWS = ("whole", "headers")
LONGEST_HEADERS = 400  # characters


@dataclass(frozen=True)
class Views:
    """Implements ``assistant.plugin_api.EmbeddingClassifier`` for canonical texts of mail.

    Everything is that of ``base`` but the embeddings: those of both views, one behind the other.
    """

    base: EmbeddingClassifier

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.base.name

    @property
    def threshold(self) -> float:
        """Probability from which the verdict is spam."""
        return self.base.threshold

    @property
    def unsure(self) -> tuple[float, float]:
        """Probabilities in [low, high) are "unsure"."""
        return self.base.unsure

    @property
    def revision(self) -> str:
        """Changes with the model and the views: embeddings compare within one."""
        return f"{self.base.revision}:{'+'.join(VIEWS)}"

    @property
    def scoring(self) -> str:
        """Changes whenever a score may."""
        return self.base.scoring

    @property
    def embedding_width(self) -> int:
        """Width of both embeddings together; 0 when the bundle computes none."""
        return len(VIEWS) * self.base.embedding_width

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Score texts."""
        return self.base.score(texts)

    def score_quickly(self, texts: Sequence[str]) -> list[Score]:
        """Score texts for their verdicts."""
        return self.base.score_quickly(texts)

    def embed(self, texts: Sequence[str]) -> list[Score]:
        """Score texts, each score with the embeddings of the text and of its first paragraph.

        Raises:
            ModelError: the bundle computes no embeddings.
        """
        import numpy as np

        whole = self.base.embed(texts)
        headers = [text.partition("\n\n")[0][:LONGEST_HEADERS] for text in texts]
        return [
            replace(score, embedding=np.concatenate([score.embedding, other.embedding]))
            for score, other in zip(whole, self.base.embed(headers), strict=True)
        ]
