"""Several conversations in one micro-batch, each blind to its neighbours, none padded.

Shapes: K conversations, T tokens of the longest, N tokens that are computed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.finetuning.conversations import Example
from training.fused import summed_cross_entropy
from training.model import Transformer, by_hand
from training.packing import Packing

IGNORED = -100
"""Target of a token that the loss does not count."""


@dataclass(frozen=True)
class PackedBatch:
    """Conversations of a micro-batch.

    Attributes:
        ids_KT: token ids, padded on the right with 0.
        targets_KT: the id that follows, or ``IGNORED``.
        lengths_K: tokens of each.
        shared_K: the same number for all: tokens at the start that are the same in all of them
            and are computed once.
    """

    ids_KT: Tensor
    targets_KT: Tensor
    lengths_K: Tensor
    shared_K: Tensor

    @property
    def shared(self) -> int:
        """Tokens at the start that are computed once."""
        return int(self.shared_K[0])

    @property
    def computed(self) -> int:
        """N, the tokens that go through the model."""
        return int(self.lengths_K.sum()) - (len(self.lengths_K) - 1) * self.shared


def shared_start(examples: Sequence[Example]) -> int:
    """Return how many tokens all examples begin with alike, none of them counted by the loss."""
    first = min(examples, key=lambda example: example.ids)
    last = max(examples, key=lambda example: example.ids)
    limit = min(example.counted.index(1) for example in examples)
    pairs = zip(first.ids[:limit], last.ids[:limit], strict=False)
    # the last token before the first counted one must be each conversation's own: it predicts
    return max(0, min(next((n for n, (a, b) in enumerate(pairs) if a != b), limit), limit - 1))


def pack(examples: Sequence[Example]) -> PackedBatch:
    """Lay out conversations as tensors."""
    shape = (len(examples), max(len(example.ids) for example in examples))
    ids, targets = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
    for row, example in enumerate(examples):
        own, counted = torch.tensor(example.ids), torch.tensor(example.counted, dtype=torch.bool)
        ids[row, : len(own)] = own
        targets[row, : len(own) - 1] = torch.where(counted[1:], own[1:], IGNORED)
    lengths = torch.tensor([len(example.ids) for example in examples])
    return PackedBatch(ids, targets, lengths, torch.full_like(lengths, shared_start(examples)))


def plan_batches(examples: Sequence[Example], tokens: int) -> list[list[int]]:
    """Put examples, in order, into batches of at most ``tokens`` computed tokens: first with room.

    Text that begins with no system prompt has batches of its own, or nothing would be shared.
    Only the last few batches stay open, so that an epoch's order keeps its chance.
    """
    kinds: dict[bool, list[int]] = {}
    for index, example in enumerate(examples):
        kinds.setdefault(bool(example.counted[0]), []).append(index)
    batches: list[list[int]] = []
    for indexes in kinds.values():
        shared = shared_start([examples[index] for index in indexes])
        own: list[list[int]] = []
        room: list[int] = []
        for index in indexes:
            need = len(examples[index].ids) - shared
            assert need + shared <= tokens
            for place in range(max(0, len(own) - 32), len(own)):
                if room[place] >= need:
                    own[place].append(index)
                    room[place] -= need
                    break
            else:
                own.append([index])
                room.append(tokens - shared - need)
        batches += own
    return batches


def packed(examples: Sequence[Example], tokens: int) -> list[PackedBatch]:
    """Return all examples in batches of at most ``tokens`` computed tokens."""
    plan = plan_batches(examples, tokens)
    return [pack([examples[index] for index in batch]) for batch in plan]


def laid_out(batch: PackedBatch, device: torch.device) -> tuple[Packing, Tensor, Tensor]:
    """Return where a batch's tokens stand, their ids [1, N] and their targets [N]."""
    packing = Packing.of(batch.lengths_K.to(device), batch.shared)
    ids_N = batch.ids_KT.to(device).flatten()[packing.place_N]
    return packing, ids_N[None], batch.targets_KT.to(device).flatten()[packing.place_N]


def answer_losses(transformer: Transformer, batch: PackedBatch) -> Tensor:
    """Return the cross-entropy of each counted token, [number of counted tokens].

    Logits are computed at those positions alone: most of a batch is questions.
    """
    hidden, targets = _counted(transformer, batch)
    return F.cross_entropy(transformer.logits(hidden), targets, reduction="none")


def answer_loss(transformer: Transformer, batch: PackedBatch) -> tuple[Tensor, int]:
    """Return the sum of ``answer_losses`` and their number, holding few logits at once."""
    hidden, targets = _counted(transformer, batch)
    if by_hand(hidden):
        weight = transformer.embed_tokens.weight
        return summed_cross_entropy(hidden, weight, targets), len(targets)
    logits = transformer.logits(hidden)
    return F.cross_entropy(logits, targets, reduction="sum"), len(targets)


def _counted(transformer: Transformer, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Return the states and the targets of the counted tokens."""
    packing, ids_1N, targets_N = laid_out(batch, transformer.norm.weight.device)
    hidden_1ND, _ = transformer.hidden(ids_1N, packing)
    counted = targets_N != IGNORED
    return hidden_1ND[0, counted], targets_N[counted]


class PackedSource:
    """A ``BatchSource`` of packed batches; an epoch depends on its number and the seed alone.

    Args:
        examples: called with an epoch's random numbers; returns its examples in any order.
        tokens: computed in a batch, at most.
    """

    def __init__(
        self, examples: Callable[[random.Random], list[Example]], tokens: int, seed: int
    ) -> None:
        self._examples, self._tokens, self._seed = examples, tokens, seed
        self._epoch, self._index = 0, 0
        self._planned = -1
        self._plan: list[list[Example]] = []

    def _batches(self) -> list[list[Example]]:
        if self._planned != self._epoch:
            draw = random.Random(f"{self._seed}:{self._epoch}")  # noqa: S311
            examples = self._examples(draw)
            draw.shuffle(examples)
            plan = plan_batches(examples, self._tokens)
            self._plan = [[examples[index] for index in batch] for batch in plan]
            draw.shuffle(self._plan)
            self._planned = self._epoch
        return self._plan

    def next(self) -> PackedBatch:
        """Return the next batch."""
        self.skip()
        return pack(self._batches()[self._index - 1])

    def skip(self) -> None:
        """Go past the next batch."""
        if self._index >= len(self._batches()):
            self._epoch, self._index = self._epoch + 1, 0
        self._index += 1

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
