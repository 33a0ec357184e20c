"""A margin from which tokens, and which pairs of neighbours, a text holds.

A linear model over hashed n-grams, as fastText's classifier without its hidden layer
(https://arxiv.org/abs/1607.01759). Beside a transformer it is the wide part of a wide and deep
model (https://arxiv.org/abs/1606.07792): it remembers wordings, the transformer generalises.

Shapes: B texts, T tokens of the longest, F features of a text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MULTIPLIER = 1_000_003
"""Of the left token of a pair, before the right one is added: a prime beyond any vocabulary."""


class NGramScore(nn.Module):
    """The sum of the weights of a text's different n-grams, over the root of their number.

    Each counts once, however often it comes: a word that is repeated says nothing new, and
    counting it made scores on mail from elsewhere far worse.

    Args:
        vocabulary_size: ids of the tokenizer, each a feature of its own.
        buckets: of the hash of pairs.
    """

    def __init__(self, vocabulary_size: int, buckets: int) -> None:
        super().__init__()
        self.vocabulary_size, self.buckets = vocabulary_size, buckets
        self.weight = nn.Parameter(torch.zeros(vocabulary_size + buckets))
        self.bias = nn.Parameter(torch.zeros(()))

    def features(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features [B, 2 T - 1] of texts and which of them count.

        Args:
            ids_BT: token ids padded on the right; a text's last one, its end, is no feature.
            lengths_B: tokens of each text, its end among them.
        """
        pairs = (ids_BT[:, :-1] * MULTIPLIER + ids_BT[:, 1:]) % self.buckets
        features_BF = torch.cat([ids_BT, pairs + self.vocabulary_size], dim=1)
        place = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        inside = place < lengths_B[:, None] - 1
        real_BF = torch.cat([inside, inside[:, 1:]], dim=1)
        # what does not count sorts behind everything else
        keys = torch.where(real_BF, features_BF, len(self.weight))
        ordered, order = keys.sort(dim=1, stable=True)
        first = torch.ones_like(real_BF)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        return features_BF, torch.zeros_like(first).scatter(1, order, first) & real_BF

    def forward(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the margin of the positive label, [B]."""
        features_BF, counted_BF = self.features(ids_BT, lengths_B)
        total_B = (self.weight[features_BF] * counted_BF).sum(1)
        return total_B / counted_BF.sum(1).clamp(min=1).sqrt() + self.bias
