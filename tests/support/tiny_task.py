"""A tiny language-modelling task over fixed random ids, for tests of the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.tiny import tiny_tokenizer
from training.checkpoint import Checkpoint
from training.model import Transformer

LENGTH = 12


@dataclass(frozen=True)
class MaskedBatch:
    ids: Tensor
    mask: Tensor


class RaggedSource:
    """Ids and masks of ragged lengths; ``rows`` of them an epoch, cut into micro-batches."""

    def __init__(self, batch_size: int, rows: int = 40) -> None:
        generator = torch.Generator().manual_seed(7)
        self.ids = torch.randint(3, 259, (rows, LENGTH + 1), generator=generator)
        lengths = torch.randint(1, LENGTH + 1, (rows, 1), generator=generator)
        self.mask = (torch.arange(LENGTH)[None] < lengths).float()
        self.batch_size, self.position = batch_size, 0

    def next(self) -> MaskedBatch:
        rows = [(self.position + i) % len(self.ids) for i in range(self.batch_size)]
        self.position += self.batch_size
        return MaskedBatch(self.ids[rows], self.mask[rows])

    def skip(self) -> None:
        self.position += self.batch_size

    def state(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state(self, state: dict[str, Any]) -> None:
        self.position = state["position"]

    @property
    def epoch(self) -> float:
        return self.position / len(self.ids)


class MaskedTask:
    """Next-token loss where the mask is 1; ``noise`` draws random numbers as dropout does."""

    def __init__(self, transformer: Transformer, noise: bool = False) -> None:
        self.transformer, self.noise = transformer, noise
        self.fail_at: int | None = None
        self.poison_at: int | None = None
        self.calls = 0

    def loss(self, batch: MaskedBatch) -> tuple[Tensor, int]:
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        logits = self.transformer(batch.ids[:, :-1])
        if self.noise:
            logits = logits * (1 + 0.1 * torch.rand(()))
        losses = F.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
        total = (losses * batch.mask.flatten()).sum()
        if self.calls == self.poison_at:
            total = total * float("nan")
        return total, int(batch.mask.sum())

    def tokens(self, batch: MaskedBatch) -> int:
        return batch.ids[:, :-1].numel()

    def evaluate(self) -> dict[str, float]:
        logits = self.transformer(RaggedSource(4).next().ids[:, :-1])
        return {"mean_logit": float(logits.mean())}

    def samples(self) -> dict[str, str]:
        return {}

    def checkpoint(self) -> Checkpoint:
        return Checkpoint("pretrained", self.transformer, tiny_tokenizer())
