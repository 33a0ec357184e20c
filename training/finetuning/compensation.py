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

from training.finetuning.packing import PackedBatch, laid_out
from training.model import Block, Transformer
from training.moments import input_sums
from training.packing import Packing
from training.symmetric_grid import BLOCK, HIGHEST, LOWEST, best_scales, grid_scales, on_grid

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
    device = transformer.norm.weight.device
    laid = [laid_out(batch, device) for batch in batches]
    layouts = [packing for packing, _, _ in laid]
    states = [transformer.embed_tokens(ids_1N) for _, ids_1N, _ in laid]
    for index, block in enumerate(transformer.layers):
        assert isinstance(block, Block)
        moments = _moments(transformer, block, states, layouts)
        for name, module in block.named_modules():
            if isinstance(module, nn.Linear):
                found = compensated(module.weight, moments[module])
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
            rounded[name] = Rounded(weight, grid_scales(weight))
    return rounded


@torch.no_grad()
def lies_on(transformer: Transformer, rounded: dict[str, Rounded]) -> bool:
    """Whether every matrix is its rounded one already, but for float32's last digits."""
    for name, found in rounded.items():
        weight = transformer.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        if not torch.allclose(found.weight(), weight, rtol=1e-4, atol=1e-7):
            return False
    return True


def _rope(transformer: Transformer, packing: Packing) -> tuple[Tensor, Tensor]:
    T = packing.token_KT.shape[1]
    return transformer.cos[:T], transformer.sin[:T]


def _moments(
    transformer: Transformer, block: Block, states: Sequence[Tensor], layouts: Sequence[Packing]
) -> dict[nn.Module, Tensor]:
    """Return the second moments of what a block's linear layers read."""
    attention, mlp = block.self_attn, block.mlp
    readers = [attention.q_proj, attention.o_proj, mlp.gate_proj, mlp.down_proj]
    with input_sums(readers) as sums:
        for state, packing in zip(states, layouts, strict=True):
            block(state, _rope(transformer, packing), packing, None)
    tokens = sum(state.shape[1] for state in states)
    means = {module: total / tokens for module, total in sums.items()}
    same = {attention.k_proj: attention.q_proj, attention.v_proj: attention.q_proj}
    same[mlp.up_proj] = mlp.gate_proj
    return means | {module: means[other] for module, other in same.items()}
