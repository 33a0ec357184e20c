"""Rounding weights to a 4-bit grid so that what is lost is made good by those not rounded yet.

GPTQ, https://arxiv.org/abs/2210.17323: the columns of a matrix are rounded one after the other,
and each one's error is spread over the columns after it in the way that changes the outputs
least, for inputs as they are on our own dialogues. Layers are done in order, so that each sees
the inputs that the rounded ones before it give.

Shapes: N outputs, K inputs, G = K / BLOCK blocks of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.finetuning.packing import PackedBatch
from training.model import Block, Transformer
from training.packing import Packing

BLOCK = 32
LOWEST, HIGHEST = -8, 7
# Codes on which a block's largest value may come to lie; the scale of the least error is taken.
LARGEST_CODES = (-8.0, -7.6, -7.2, -6.8, 7.0, 7.4)
# Share of the mean square input added to each input's own: keeps the inverse stable.
DAMPING = 0.01


@dataclass(frozen=True)
class Rounded:
    """A matrix that is to be rounded.

    Attributes:
        values_NK: what is rounded, within half a step of the grid unless beyond its ends.
        scales_NG: the grid: ``scale * code`` with codes from -8 to 7; negative scales occur.
    """

    values_NK: Tensor
    scales_NG: Tensor

    def weight(self) -> Tensor:
        """Return the rounded matrix."""
        return on_grid(self.values_NK, self.scales_NG)


def on_grid(values_NK: Tensor, scales_NG: Tensor) -> Tensor:
    """Return the grid's points nearest to values [N, K]."""
    scales = scales_NG.unsqueeze(-1)
    codes = values_NK.unflatten(-1, (-1, BLOCK)).div(scales).round_().clamp_(LOWEST, HIGHEST)
    return codes.mul_(scales).flatten(-2)


def best_scales(values_NK: Tensor, importance_K: Tensor | None = None) -> Tensor:
    """Return the scales [N, G] of the least squared error among a few.

    Args:
        importance_K: weights of the columns' errors.
    """
    blocks = values_NK.unflatten(-1, (-1, BLOCK))
    largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))[..., 0]
    weights = None if importance_K is None else importance_K.unflatten(0, (-1, BLOCK))
    best = torch.full_like(largest, torch.inf)
    scales = torch.zeros_like(largest)
    for code in LARGEST_CODES:
        scale = largest / code
        scale = torch.where(scale.abs() < 1e-10, torch.full_like(scale, 1e-10), scale)
        error = on_grid(values_NK, scale).sub_(values_NK).square_().unflatten(-1, (-1, BLOCK))
        total = error.sum(-1) if weights is None else error.mul_(weights).sum(-1)
        better = total < best
        best, scales = torch.where(better, total, best), torch.where(better, scale, scales)
    return scales


def compensated(weight_NK: Tensor, moment_KK: Tensor) -> Rounded:
    """Choose a grid and round column after column.

    Args:
        moment_KK: mean of x x^T over inputs.
    """
    values = weight_NK.detach().clone()
    K = values.shape[1]
    moment = moment_KK.double().clone()
    diagonal = moment.diagonal()
    diagonal += DAMPING * diagonal.mean() + 1e-12
    inverse = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(moment)), upper=True
    )
    upper = inverse.float()
    scales = []
    for start in range(0, K, BLOCK):
        stop = start + BLOCK
        block = values[:, start:stop].clone()
        scale = best_scales(block)
        scales.append(scale)
        lost = torch.empty_like(block)
        for column in range(BLOCK):
            here = start + column
            value = block[:, column].clone()
            values[:, here] = value
            code = (value / scale[:, 0]).round_().clamp_(LOWEST, HIGHEST)
            error = (value - code * scale[:, 0]) / upper[here, here]
            lost[:, column] = error
            block[:, column + 1 :] -= error[:, None] * upper[here, here + 1 : stop]
        values[:, stop:] -= lost @ upper[start:stop, stop:]
    return Rounded(values, torch.cat(scales, 1))


@torch.no_grad()
def compensate(transformer: Transformer, batches: Sequence[PackedBatch]) -> dict[str, Rounded]:
    """Round a transformer's blocks and its tied embedding, in place.

    Returns:
        what was rounded, by the module's name.
    """
    rounded: dict[str, Rounded] = {}
    layouts = [Packing.of(batch.lengths_K, batch.shared) for batch in batches]
    states = []
    for batch, packing in zip(batches, layouts, strict=True):
        ids = batch.ids_KT.flatten()[packing.place_N]
        states.append(transformer.embed_tokens(ids[None]))
    for index, block in enumerate(transformer.layers):
        assert isinstance(block, Block)
        moments = _moments(transformer, block, states, layouts)
        for name, module in block.named_modules():
            if isinstance(module, nn.Linear):
                found = compensated(module.weight, moments[name])
                rounded[f"layers.{index}.{name}"] = found
                module.weight.copy_(found.weight())
        for number, packing in enumerate(layouts):
            states[number], _ = block(states[number], _rope(transformer, packing), packing, None)
    total = torch.zeros(())
    for state in states:
        x = transformer.norm(state)[0]
        total = total + x.T @ x
    tokens = sum(state.shape[1] for state in states)
    found = compensated(transformer.embed_tokens.weight, total / tokens)
    rounded["embed_tokens"] = found
    transformer.embed_tokens.weight.copy_(found.weight())
    return rounded


@torch.no_grad()
def plainly_rounded(transformer: Transformer) -> dict[str, Rounded]:
    """Return each matrix and a grid for it, none made good by others."""
    rounded = {}
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            weight = module.weight.detach()
            rounded[name] = Rounded(weight, best_scales(weight))
    return rounded


def _rope(transformer: Transformer, packing: Packing) -> tuple[Tensor, Tensor]:
    T = packing.token_KT.shape[1]
    return transformer.cos[:T], transformer.sin[:T]


def _moments(
    transformer: Transformer, block: Block, states: Sequence[Tensor], layouts: Sequence[Packing]
) -> dict[str, Tensor]:
    """Return the second moments of what a block's linear layers read, by their names."""
    same = {"self_attn.k_proj": "self_attn.q_proj", "self_attn.v_proj": "self_attn.q_proj"}
    same["mlp.up_proj"] = "mlp.gate_proj"
    sums: dict[str, Tensor] = {}
    hooks = []
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear) and name not in same:

            def add(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                x_TK = inputs[0].flatten(0, -2)
                sums[name] = sums.get(name, torch.zeros(())) + x_TK.T @ x_TK

            hooks.append(module.register_forward_pre_hook(add))
    for state, packing in zip(states, layouts, strict=True):
        block(state, _rope(transformer, packing), packing, None)
    for hook in hooks:
        hook.remove()
    tokens = sum(state.shape[1] for state in states)
    means = {name: total / tokens for name, total in sums.items()}
    return means | {name: means[other] for name, other in same.items()}
