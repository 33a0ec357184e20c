"""Batches of labelled texts of similar length, endless and resumable."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assistant.tokenizer import Tokenizer
from training.finetuning.augmentation import (
    Augmentation,
    dilute,
    drop_headers,
    head_and_tail,
    one_window,
    some_windows,
    without_some,
)
from training.finetuning.labelled_text import LabelledText
from training.finetuning.mixing import check_weights, passes

POOL_BATCHES = 50
"""Batches that are sorted by length together: enough for even lengths, few enough for chance."""


@dataclass(frozen=True)
class TextBatch:
    """Texts of up to W windows: ids [B, W, T], padded on the right with 0, lengths [B, W], 0 where
    a text has no more windows, and labels [B]."""

    ids_BWT: Tensor
    lengths_BW: Tensor
    labels_B: Tensor


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids [B, T], padded on the right with 0, and lengths [B]."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    return ids, lengths


def pad_windows(texts: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
    """Return ids [B, W, T], padded with 0, and lengths [B, W] of texts in windows."""
    count = max(len(windows) for windows in texts)
    ids, lengths = pad([row for windows in texts for row in [*windows, *[()] * count][:count]])
    return ids.view(len(texts), count, -1), lengths.view(len(texts), count)


class LengthBuckets:
    """A ``BatchSource`` of ``rows`` texts a batch; an epoch's order depends on its number alone.

    Args:
        weights: passes over a source's texts in one epoch (default 1); a fraction is a chance.
        windows: read of a long text: its head and tail, and others drawn at random.
    """

    def __init__(
        self,
        texts: Sequence[LabelledText],
        tokenizer: Tokenizer,
        max_tokens: int,
        rows: int,
        augmentation: Augmentation,
        weights: dict[str, float],
        seed: int,
        windows: int = 1,
    ) -> None:
        check_weights(weights, {text.source for text in texts})
        self.texts, self.tokenizer = list(texts), tokenizer
        self.max_tokens, self.rows, self.seed = max_tokens, rows, seed
        self.augmentation, self.weights, self.windows = augmentation, weights, windows
        self.innocent = [text.text for text in texts if text.label == 0]
        # a character count sorts nearly as well as a token count, without encoding everything
        self.sizes = [min(len(text.text), 8 * max_tokens) for text in texts]
        self._epoch, self._index = 0, 0
        self._plan: list[list[int]] = []
        self._planned = -1

    def _draw(self, *what: object) -> random.Random:
        return random.Random(f"{self.seed}:{what}")  # noqa: S311

    def _batches(self) -> list[list[int]]:
        if self._planned == self._epoch:
            return self._plan
        draw = self._draw("epoch", self._epoch)
        order: list[int] = []
        for index, text in enumerate(self.texts):
            order += [index] * passes(self.weights.get(text.source, 1.0), draw)
        draw.shuffle(order)
        batches: list[list[int]] = []
        for start in range(0, len(order), POOL_BATCHES * self.rows):
            pool = sorted(
                order[start : start + POOL_BATCHES * self.rows], key=self.sizes.__getitem__
            )
            batches += [pool[i : i + self.rows] for i in range(0, len(pool), self.rows)]
        draw.shuffle(batches)
        self._plan, self._planned = batches, self._epoch
        return batches

    def next(self) -> TextBatch:
        """Return the next batch."""
        while self._index >= len(self._batches()):
            self._epoch, self._index = self._epoch + 1, 0
        draw = self._draw("batch", self._epoch, self._index)
        chosen = [self.texts[index] for index in self._batches()[self._index]]
        self._index += 1
        ids, lengths = pad_windows([self._changed(text, draw) for text in chosen])
        return TextBatch(ids, lengths, torch.tensor([text.label for text in chosen]))

    def skip(self) -> None:
        """Go past the next batch."""
        while self._index >= len(self._batches()):
            self._epoch, self._index = self._epoch + 1, 0
        self._index += 1

    def _changed(self, item: LabelledText, draw: random.Random) -> list[list[int]]:
        windows, longest = self._encode(item, draw), self.augmentation.drop_tokens
        if not longest:
            return windows
        share = draw.uniform(0, longest)
        return [without_some(ids, share, draw) for ids in windows]

    def _encode(self, item: LabelledText, draw: random.Random) -> list[list[int]]:
        chances, text = self.augmentation, item.text
        drop_from = chances.drop_from_of.get(item.source, chances.drop_from)
        dropped = [
            name
            for name, chance in (("From", drop_from), ("Subject", chances.drop_subject))
            if draw.random() < chance
        ]
        text = drop_headers(text, dropped)
        if item.label and self.innocent and draw.random() < chances.padding:
            text = dilute(text, draw.choice(self.innocent), draw, chances.padding_characters)
        if draw.random() < (chances.window_positive if item.label else chances.window):
            return [one_window(text, self.tokenizer, self.max_tokens, draw)]
        if self.windows > 1:
            return some_windows(text, self.tokenizer, self.max_tokens, self.windows, draw)
        return [head_and_tail(text, self.tokenizer, self.max_tokens)]

    def state(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        self._epoch, self._index = int(state["epoch"]), int(state["index"])

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self._epoch + self._index / max(1, len(self._batches()))
