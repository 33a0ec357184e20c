"""Operations that go over the memory fewer times than autograd would, for CPUs.

On a GPU torch.compile does the same and more; on a CPU it takes a compiler and a minute. Each of
these is an ordinary formula with its gradient written out; the tests compare both with autograd's.

Shapes: N tokens, D width, V vocabulary, E head dimension.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

CHUNK = 256
"""Tokens whose logits are in memory at once."""


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of the last dimension E; cos and sin broadcast to [..., E / 2]."""
    return _Rotated.apply(x, cos, sin)  # type: ignore[no-untyped-call]


class _Rotated(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        return _rotate(gradients[0], cos, sin, -1.0), None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    result = torch.empty_like(x)
    torch.mul(first, cos, out=result[..., :half]).addcmul_(second, sin, value=-sign)
    torch.mul(second, cos, out=result[..., half:]).addcmul_(first, sin, value=sign)
    return result


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide by the root mean square of the last dimension D and multiply by a gain [D]."""
    return _RmsNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]


class _RmsNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        scale = square.div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, scale = ctx.saved_tensors
        normed = x * scale
        gain = (gradients[0] * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        inner = gradients[0] * weight
        mean = torch.linalg.vecdot(inner, normed).unsqueeze(-1).div_(x.shape[-1])
        return inner.addcmul_(normed, mean, value=-1.0).mul_(scale), gain, None


def summed_cross_entropy(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Return the sum over tokens of -log softmax(hidden @ weight.T)[target].

    Logits are made for ``CHUNK`` tokens at a time, and their gradient right away: what is kept
    for the backward pass is as large as the inputs, not N x V. As in Cut Your Losses,
    https://arxiv.org/abs/2411.09009.
    """
    return _CrossEntropy.apply(hidden_ND, weight_VD, targets_N)  # type: ignore[no-untyped-call]


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        wants_hidden, wants_weight, _ = ctx.needs_input_grad
        gradients = [
            torch.empty_like(hidden) if wants_hidden else None,
            torch.zeros_like(weight) if wants_weight else None,
        ]
        total = hidden.new_zeros(())
        for start in range(0, len(hidden), CHUNK):
            some, wanted = hidden[start : start + CHUNK], targets[start : start + CHUNK, None]
            logits = F.log_softmax(F.linear(some, weight), dim=-1)
            total -= logits.gather(1, wanted).sum()
            if not (wants_hidden or wants_weight):
                continue
            slope = logits.exp_()  # of the logits: softmax, less 1 at the target
            slope.scatter_add_(1, wanted, slope.new_full(wanted.shape, -1.0))
            if gradients[0] is not None:
                torch.mm(slope, weight, out=gradients[0][start : start + CHUNK])
            if gradients[1] is not None:
                gradients[1].addmm_(slope.T, some)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        factor = float(outer[0])
        found = [g if g is None or factor == 1.0 else g * factor for g in ctx.saved_tensors]
        return *found, None
