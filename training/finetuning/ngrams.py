"""Fit the n-gram margin of a classifier, and decide how much of it counts beside the transformer.

Fitted alone, not together with the transformer: what the pairs explain already would no longer
be learned by the part that holds for mail from elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from assistant.tokenizer import Tokenizer
from training.finetuning.augmentation import every_window
from training.finetuning.calibration import calibrated_losses, no_worse
from training.finetuning.labelled_text import LabelledText
from training.finetuning.length_buckets import pad
from training.finetuning.mixing import passes
from training.finetuning.pooling import largest
from training.ngrams import NGramScore

BATCH = 32
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0)
"""Factors of the n-gram margin that are tried."""


@dataclass(frozen=True)
class NGramConfig:
    """The n-gram margin of a classifier."""

    buckets: int = 0
    """Of the hash of pairs of tokens; 0: no n-gram margin."""
    epochs: int = 6
    """Passes over the texts."""
    learning_rate: float = 0.5
    """AdaGrad's (https://jmlr.org/papers/v12/duchi11a.html): rare pairs move as far as common
    ones."""
    drop: float = 0.5
    """Largest share of its features that a text loses, drawn anew for each."""
    padding: float = 0.3
    """Chance that a positive text is diluted with most of a negative one, drawn anew each time:
    else whoever pads spam with good text has it pass."""
    share: float = 0.0
    """Factor of the margin beside the transformer's; 0: the least that predicts validation texts as
    well as the best."""
    passes: dict[str, float] | None = None
    """Passes over a source's texts in one epoch; 1 where none is given."""


def fit_ngrams(
    texts: Sequence[LabelledText],
    tokenizer: Tokenizer,
    max_tokens: int,
    config: NGramConfig,
    seed: int,
) -> NGramScore:
    """Return an n-gram margin fitted to texts by logistic regression.

    A text that is read in several windows is learned as its first window and as a whole.
    """
    score = NGramScore(tokenizer.vocabulary_size, config.buckets)
    documents: list[tuple[Tensor, int, str]] = []
    for text in texts:
        windows = every_window(text.text, tokenizer, max_tokens)
        documents.append((_features(score, windows[0]), text.label, text.source))
        if len(windows) > 1:
            whole = [token for window in windows for token in window[:-1]] + windows[0][-1:]
            documents.append((_features(score, whole), text.label, text.source))
    innocent = [features for features, label, _ in documents if label == 0]
    optimizer = torch.optim.Adagrad(
        score.parameters(), lr=config.learning_rate, eps=1e-8, initial_accumulator_value=1e-8
    )
    draw = random.Random(f"ngrams:{seed}")  # noqa: S311
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.epochs):
        for batch in _batches(documents, config.passes or {}, draw):
            rows = [
                _diluted(features, draw.choice(innocent), draw, generator)
                if label and innocent and draw.random() < config.padding
                else features
                for features, label, _ in batch
            ]
            rows = [_some(features, config.drop, draw, generator) for features in rows]
            sizes = torch.tensor([len(row) for row in rows])
            starts = sizes.cumsum(0) - sizes
            total_B = F.embedding_bag(torch.cat(rows), score.weight[:, None], starts, mode="sum")[
                :, 0
            ]
            margins_B = total_B / sizes.clamp(min=1).sqrt() + score.bias
            labels_B = torch.tensor([float(label) for _, label, _ in batch])
            F.binary_cross_entropy_with_logits(margins_B, labels_B, reduction="sum").backward()
            optimizer.step()
            optimizer.zero_grad()
    return score


def _features(score: NGramScore, ids: Sequence[int]) -> Tensor:
    features_BF, counted_BF = score.features(torch.tensor([ids]), torch.tensor([len(ids)]))
    return features_BF[counted_BF].to(torch.int32)


def _batches(
    documents: Sequence[tuple[Tensor, int, str]], weights: dict[str, float], draw: random.Random
) -> Iterator[list[tuple[Tensor, int, str]]]:
    """Return one pass over the documents in batches, in a new order."""
    order: list[int] = []
    for index, (_, _, source) in enumerate(documents):
        order += [index] * passes(weights.get(source, 1.0), draw)
    draw.shuffle(order)
    for start in range(0, len(order), BATCH):
        yield [documents[index] for index in order[start : start + BATCH]]


def _diluted(
    features: Tensor, innocent: Tensor, draw: random.Random, generator: torch.Generator
) -> Tensor:
    kept = torch.rand(len(innocent), generator=generator) < draw.uniform(0.2, 1)
    return torch.cat([features, innocent[kept]]).unique()


def _some(features: Tensor, most: float, draw: random.Random, generator: torch.Generator) -> Tensor:
    if not most:
        return features
    kept = torch.rand(len(features), generator=generator) >= draw.uniform(0, most)
    return features[kept]


@torch.no_grad()
def ngram_margins(
    score: NGramScore, cut: Sequence[Sequence[Sequence[int]]]
) -> list[NDArray[np.float64]]:
    """Return the n-gram margin of each text's windows."""
    found = []
    for windows in cut:
        ids, lengths = pad(windows)
        found.append(score(ids, lengths).double().numpy())
    return found


def together(
    margins: Sequence[NDArray[np.float64]], wide: Sequence[NDArray[np.float64]], share: float
) -> list[NDArray[np.float64]]:
    """Return the margins of the transformer and the n-grams together."""
    return [own + share * other for own, other in zip(margins, wide, strict=True)]


def choose_share(
    positive: NDArray[np.bool_],
    margins: Sequence[NDArray[np.float64]],
    wide: Sequence[NDArray[np.float64]],
) -> float:
    """Return the least factor of the n-gram margin that predicts as well as the best.

    As well: the mean difference of the calibrated losses is within its standard error. Among
    equals on texts like those trained on, the transformer's say counts for more, because it
    holds better for texts from elsewhere.
    """

    by_share = {
        share: calibrated_losses(positive, largest(together(margins, wide, share), 0.0))
        for share in SHARES
    }
    best = min(by_share.values(), key=np.mean)
    for share, losses in by_share.items():
        if no_worse(losses, best):
            return share
    raise AssertionError("the best is as good as itself")


@torch.no_grad()
def scaled(score: NGramScore, share: float) -> NGramScore:
    """Return the n-gram margin times a factor."""
    result = NGramScore(score.vocabulary_size, score.buckets)
    result.weight.copy_(share * score.weight)
    result.bias.copy_(share * score.bias)
    return result
