"""Choosing the next token from its logits, in numpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assistant.chat import GenerationOptions
from assistant.errors import ModelError


class Sampler:
    """Draws tokens by the options; the same seed draws the same tokens."""

    def __init__(self, options: GenerationOptions) -> None:
        self.options = options
        self._random = np.random.default_rng(options.seed)

    def choose(
        self,
        logits_V: NDArray[np.float32],
        answer: Sequence[int],
        bonus: Mapping[int, float] | None = None,
    ) -> int:
        """Return the next token.

        Args:
            logits_V: raw scores, not changed.
            answer: the tokens of the answer so far, for the repetition penalty.
            bonus: tokens whose score is raised, by how much.

        Raises:
            ModelError: a score is not a number.
        """
        if not np.isfinite(logits_V).all():
            raise ModelError(
                "The model computed scores that are no numbers",
                "`assistant models verify` checks its files",
            )
        options = self.options
        if bonus:
            logits_V = logits_V.copy()
            logits_V[list(bonus)] += np.fromiter(bonus.values(), np.float32)
        if options.repetition_penalty != 1.0 and answer:
            logits_V = penalize(logits_V, answer, options.repetition_penalty)
        n = options.no_repeat_ngram
        if banned := repeating(answer, n) + repeating(answer, (n + 1) // 2, times=2):
            logits_V = logits_V.copy()
            logits_V[banned] = -np.inf
        if options.temperature <= 0:
            return int(logits_V.argmax())
        probabilities = filtered(logits_V, options)
        return int(self._random.choice(len(probabilities), p=probabilities))


def penalize(
    logits_V: NDArray[np.float32], answer: Sequence[int], penalty: float
) -> NDArray[np.float32]:
    """Make tokens of the answer less likely (CTRL, https://arxiv.org/abs/1909.05858)."""
    seen = np.unique(np.asarray(answer))
    logits_V = logits_V.copy()
    scores = logits_V[seen]
    logits_V[seen] = np.where(scores > 0, scores / penalty, scores * penalty)
    return logits_V


def repeating(answer: Sequence[int], n: int, times: int = 1) -> list[int]:
    """Return the tokens that would complete a run of ``n`` tokens that stands in the answer
    ``times`` times or more."""
    if n < 2 or len(answer) < n:
        return []
    last = list(answer[1 - n :])
    found = Counter(
        answer[place + n - 1]
        for place in range(len(answer) - n + 1)
        if answer[place] == last[0] and list(answer[place : place + n - 1]) == last
    )
    return [token for token, count in found.items() if count >= times]


def filtered(logits_V: NDArray[np.float32], options: GenerationOptions) -> NDArray[np.float64]:
    """Return probabilities after temperature, top-k, top-p and min-p, summing to 1.

    top-p: https://arxiv.org/abs/1904.09751, min-p: https://arxiv.org/abs/2407.01082
    """
    scaled = logits_V.astype(np.float64) / options.temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    if 0 < options.top_k < len(probabilities):
        floor = np.partition(probabilities, -options.top_k)[-options.top_k]
        probabilities[probabilities < floor] = 0
    if options.top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        sorted_probabilities = probabilities[order] / probabilities.sum()
        # the smallest set that reaches top_p: the token that crosses it is in
        before = sorted_probabilities.cumsum() - sorted_probabilities
        probabilities[order[before >= options.top_p]] = 0
    if options.min_p > 0:
        probabilities[probabilities < options.min_p * probabilities.max()] = 0
    return probabilities / probabilities.sum()
