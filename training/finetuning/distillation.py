"""Learning from another model's next-token probabilities instead of from the written token alone.

Distillation, https://arxiv.org/abs/1503.02531. Every token of a conversation teaches, questions
and notes too: what the answer reads is as much the model's as what it writes.

Shapes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from training.finetuning.packing import IGNORED, PackedBatch, laid_out
from training.model import Transformer, by_hand

CHUNK = 1024
"""Tokens whose logits are in memory at once: enough that reading the output layer's weights and
rounding them for each product is little beside the product."""


@dataclass(frozen=True)
class DistillationConfig:
    """A teacher."""

    teacher: str = ""
    """Checkpoint of a model with the same vocabulary; empty: none."""
    written: float = 0.1
    """Share of the written token in what an answer's token should be; the rest is the teacher's."""
    others: float = 0.3
    """Weight of the tokens that are not the answer's. 0: their probabilities are not computed."""


@dataclass(frozen=True)
class Lesson:
    """What the loss of a batch needs.

    Attributes:
        hidden_ND, teacher_ND: final states of both models.
        targets_N: the written token that follows, or ``IGNORED`` outside of answers.
    """

    hidden_ND: Tensor
    teacher_ND: Tensor
    targets_N: Tensor


def read(transformer: Transformer, teacher: Transformer, batch: PackedBatch) -> Lesson:
    """Let both models read a batch."""
    packing, ids_1N, targets_N = laid_out(batch, transformer.norm.weight.device)
    with torch.no_grad():
        teacher_1ND, _ = teacher.hidden(ids_1N, packing)
    hidden_1ND, _ = transformer.hidden(ids_1N, packing)
    return Lesson(hidden_1ND[0], teacher_1ND[0], targets_N)


def distillation_loss(
    transformer: Transformer, teacher: Transformer, batch: PackedBatch, config: DistillationConfig
) -> tuple[Tensor, int]:
    """Return the summed cross-entropy to what should follow, and the number of tokens."""
    lesson = read(transformer, teacher, batch)
    if not config.others:
        lesson = _of_answers(lesson)
    weight_VD, teacher_VD = transformer.embed_tokens.weight, teacher.embed_tokens.weight
    if by_hand(lesson.hidden_ND):
        total = _SoftCrossEntropy.apply(  # type: ignore[no-untyped-call]
            lesson.hidden_ND, weight_VD, lesson.teacher_ND, teacher_VD, lesson.targets_N, config
        )
        return total, len(lesson.targets_N)
    wanted, factor = _wanted(lesson.teacher_ND, teacher_VD, lesson.targets_N, config)
    logarithms = transformer.logits(lesson.hidden_ND).log_softmax(-1)
    return -((wanted * logarithms).sum(-1) * factor).sum(), len(lesson.targets_N)


def _of_answers(lesson: Lesson) -> Lesson:
    counted = lesson.targets_N != IGNORED
    return Lesson(lesson.hidden_ND[counted], lesson.teacher_ND[counted], lesson.targets_N[counted])


@torch.no_grad()
def divergence(
    transformer: Transformer, teacher: Transformer, batch: PackedBatch
) -> tuple[float, int, int]:
    """Return KL(teacher || model) in nats, where both agree on the next token, and all tokens."""
    lesson = read(transformer, teacher, batch)
    total, agreed = 0.0, 0
    weight_VD, teacher_VD = transformer.embed_tokens.weight, teacher.embed_tokens.weight
    for start in range(0, len(lesson.targets_N), CHUNK):
        some = slice(start, start + CHUNK)
        expected = F.linear(lesson.teacher_ND[some], teacher_VD).float().log_softmax(-1)
        found = F.linear(lesson.hidden_ND[some], weight_VD).float().log_softmax(-1)
        total += float((expected.exp() * (expected - found)).sum())
        agreed += int((expected.argmax(-1) == found.argmax(-1)).sum())
    return total, agreed, len(lesson.targets_N)


def _wanted(
    teacher_ND: Tensor, teacher_VD: Tensor, targets_N: Tensor, config: DistillationConfig
) -> tuple[Tensor, Tensor]:
    """Return the probabilities [N, V] that should follow, and each token's weight [N]."""
    wanted = F.linear(teacher_ND, teacher_VD).float().softmax(-1)
    answer = targets_N != IGNORED
    share = config.written * answer.to(wanted.dtype)
    wanted.mul_(1 - share[:, None])
    wanted.scatter_add_(1, targets_N.clamp(min=0)[:, None], share[:, None])
    factor = torch.where(answer, 1.0, config.others).to(wanted.dtype)
    return wanted, factor


class _SoftCrossEntropy(Function):
    """As ``fused.summed_cross_entropy``: a chunk's logits and their gradient at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        teacher: Tensor,
        teacher_weight: Tensor,
        targets: Tensor,
        config: DistillationConfig,
    ) -> Tensor:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        gradients = [
            torch.empty_like(hidden) if wants_hidden else None,
            torch.zeros_like(weight) if wants_weight else None,
        ]
        total = hidden.new_zeros(())
        for start in range(0, len(hidden), CHUNK):
            some = slice(start, start + CHUNK)
            wanted, factor = _wanted(teacher[some], teacher_weight, targets[some], config)
            logarithms = F.log_softmax(F.linear(hidden[some], weight), dim=-1)
            total -= torch.linalg.vecdot(wanted, logarithms) @ factor
            slope = logarithms.exp_().sub_(wanted).mul_(factor[:, None])
            if gradients[0] is not None:
                torch.mm(slope, weight, out=gradients[0][some])
            if gradients[1] is not None:
                gradients[1].addmm_(slope.T, hidden[some])
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        factor = float(outer[0])
        found = [g if g is None or factor == 1.0 else g * factor for g in ctx.saved_tensors]
        return *found, None, None, None, None
