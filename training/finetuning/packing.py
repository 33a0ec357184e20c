"""Several conversations in one row, each blind to its neighbours.

Shapes: B rows, T tokens of a row.
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
from training.model import Transformer, document_mask

IGNORED = -100
"""Target of a token that the loss does not count."""
PADDING = -1
"""Document number of padding."""


@dataclass(frozen=True)
class PackedBatch:
    """Rows of conversations.

    Attributes:
        ids_BT: token ids, padded with 0.
        targets_BT: the id that follows, or ``IGNORED``; never one of the next conversation.
        positions_BT: position within its own conversation.
        documents_BT: number of the conversation within its row, ``PADDING`` behind the last.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor
    documents_BT: Tensor

    @property
    def mask_BTT(self) -> Tensor:
        """Causal and within the same conversation."""
        return document_mask(self.documents_BT)


def plan_rows(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Put items, in order, into rows of at most ``length`` tokens: first row with room.

    Only the last few rows stay open, so that an epoch's order keeps its chance.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index, need in enumerate(lengths):
        assert need <= length
        for row in range(max(0, len(rows) - 32), len(rows)):
            if room[row] >= need:
                rows[row].append(index)
                room[row] -= need
                break
        else:
            rows.append([index])
            room.append(length - need)
    return rows


def pack(rows: Sequence[Sequence[Example]], length: int) -> PackedBatch:
    """Lay out rows of conversations as tensors [B, length]."""
    shape = (len(rows), length)
    ids = torch.zeros(shape, dtype=torch.long)
    targets = torch.full(shape, IGNORED)
    positions = torch.zeros(shape, dtype=torch.long)
    documents = torch.full(shape, PADDING)
    for number, row in enumerate(rows):
        start = 0
        for document, example in enumerate(row):
            stop = start + len(example.ids)
            own = torch.tensor(example.ids)
            counted = torch.tensor(example.counted, dtype=torch.bool)
            ids[number, start:stop] = own
            positions[number, start:stop] = torch.arange(stop - start)
            documents[number, start:stop] = document
            following = torch.where(counted[1:], own[1:], torch.tensor(IGNORED))
            targets[number, start : stop - 1] = following
            start = stop
    return PackedBatch(ids, targets, positions, documents)


def answer_losses(transformer: Transformer, batch: PackedBatch) -> Tensor:
    """Return the cross-entropy of each counted token, [number of counted tokens].

    Logits are computed at those positions alone: most of a batch is questions.
    """
    device = transformer.embed_tokens.weight.device
    hidden_BTD, _ = transformer.hidden(
        batch.ids_BT.to(device), batch.positions_BT.to(device), batch.mask_BTT.to(device)
    )
    targets_BT = batch.targets_BT.to(device)
    counted = targets_BT != IGNORED
    logits = transformer.logits(hidden_BTD[counted])
    return F.cross_entropy(logits.float(), targets_BT[counted], reduction="none")


class PackedSource:
    """A ``BatchSource`` of packed rows; an epoch depends on its number and the seed alone.

    Args:
        examples: called with an epoch's random numbers; returns its examples in any order.
    """

    def __init__(
        self,
        examples: Callable[[random.Random], list[Example]],
        length: int,
        rows: int,
        seed: int,
    ) -> None:
        self._examples, self._length, self._rows, self._seed = examples, length, rows, seed
        self._epoch, self._index = 0, 0
        self._planned = -1
        self._plan: list[list[Example]] = []

    def _packed(self) -> list[list[Example]]:
        if self._planned != self._epoch:
            draw = random.Random(f"{self._seed}:{self._epoch}")  # noqa: S311
            examples = self._examples(draw)
            draw.shuffle(examples)
            plan = plan_rows([len(example.ids) for example in examples], self._length)
            self._plan = [[examples[index] for index in row] for row in plan]
            draw.shuffle(self._plan)
            self._planned = self._epoch
        return self._plan

    def next(self) -> PackedBatch:
        """Return the next batch; the last one of an epoch may have fewer rows."""
        if self._index >= len(self._packed()):
            self._epoch, self._index = self._epoch + 1, 0
        rows = self._packed()[self._index : self._index + self._rows]
        self._index += self._rows
        return pack(rows, self._length)

    def skip(self) -> None:
        """Go past the next batch."""
        if self._index >= len(self._packed()):
            self._epoch, self._index = self._epoch + 1, 0
        self._index += self._rows

    def state(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        self._epoch, self._index = int(state["epoch"]), int(state["index"])

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self._epoch + self._index / max(1, len(self._packed()))
