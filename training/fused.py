"""Operations that go over the memory fewer times than autograd would, for CPUs.

On a GPU torch.compile does the same and more; on a CPU it takes a compiler and a minute. Each of
these is an ordinary formula with its gradient written out; the tests compare both with autograd's.

Shapes: N tokens, D width, V vocabulary; B batch, H query heads, K key/value heads, T tokens of a
sequence, E head dimension.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

CHUNK = 256
"""Tokens whose logits are in memory at once."""
QUERIES = 64
"""Tokens of a sequence that attend at once."""
LONGEST = 512
"""Tokens of a sequence for which attention keeps its probabilities until the backward pass."""


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of the last dimension E; cos and sin broadcast to [..., E / 2]."""
    return _Rotated.apply(x, cos, sin)  # type: ignore[no-untyped-call]


class _Rotated(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.strides = x.stride()
        # heads side by side become heads one after the other, as attention reads them
        return _rotate(x, cos, sin, 1.0, torch.empty(x.shape, dtype=x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        (gradient,) = gradients
        result = torch.empty_strided(gradient.shape, ctx.strides, dtype=gradient.dtype)
        return _rotate(gradient, cos, sin, -1.0, result), None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, sign: float, result: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
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


def causal_attention(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Return softmax(q k / sqrt(E)) v [B, H, T, E], each token blind to those after it.

    ``QUERIES`` tokens attend at once, to the keys up to the last of them: nearly half of the
    products are never made. Query heads that share keys are rows of one matrix.
    """
    return _Attention.apply(q_BHTE, k_BKTE, v_BKTE)  # type: ignore[no-untyped-call]


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        (B, H, T, E), K = q.shape, k.shape[1]
        queries, keys, values = q.unflatten(1, (K, -1)), k.flatten(0, 1), v.flatten(0, 1)
        result = q.new_empty(B, T, K, H // K, E)
        later = torch.full((QUERIES, QUERIES), float("-inf"), dtype=q.dtype).triu(1)
        kept = []
        for start in range(0, T, QUERIES):
            stop = min(start + QUERIES, T)
            some = _rows(queries[..., start:stop, :]).mul_(E**-0.5)
            scores = torch.bmm(some, keys[:, :stop].mT)
            size = stop - start
            scores.view(B, H, size, stop)[..., start:] += later[:size, :size]
            chances = scores.softmax(-1)
            out = torch.bmm(chances, values[:, :stop]).view(B, K, H // K, size, E)
            result[:, start:stop] = out.permute(0, 3, 1, 2, 4)
            kept += [some, chances]
        ctx.save_for_backward(keys, values, *kept)
        return result.flatten(2, 3).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        keys, values, *kept = ctx.saved_tensors
        B, H, T, E = gradients[0].shape
        K = len(keys) // B
        outer = gradients[0].unflatten(1, (K, -1))
        of_q = keys.new_empty(B, K, H // K, T, E)
        of_k, of_v = torch.zeros_like(keys), torch.zeros_like(values)
        for start, some, chances in zip(range(0, T, QUERIES), kept[::2], kept[1::2], strict=True):
            stop = min(start + QUERIES, T)
            slope = _rows(outer[..., start:stop, :])
            of_v[:, :stop].baddbmm_(chances.mT, slope)
            slope = torch.bmm(slope, values[:, :stop].mT)
            slope = torch.ops.aten._softmax_backward_data(slope, chances, -1, slope.dtype)
            found = torch.bmm(slope, keys[:, :stop]).mul_(E**-0.5)
            of_q[..., start:stop, :] = found.view(B, K, H // K, stop - start, E)
            of_k[:, :stop].baddbmm_(slope.mT, some)
        return of_q.flatten(1, 2), of_k.unflatten(0, (B, K)), of_v.unflatten(0, (B, K))


def _rows(x_BKRTE: Tensor) -> Tensor:
    """Return a copy with the tokens of R heads one after the other: [B x K, R x T, E]."""
    return x_BKRTE.clone(memory_format=torch.contiguous_format).flatten(2, 3).flatten(0, 1)


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
