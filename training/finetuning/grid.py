"""Quantization-aware fine-tuning: weights that are trained through their rounding to 4 bits.

A weight is used as the grid's nearest point and trained as if it had not been rounded (the
straight-through estimator, https://arxiv.org/abs/1308.3432), so that the model learns to be right
with the rounded weights: exporting them then loses nothing. Scales stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.utils import parametrize

from training.finetuning.compensation import Rounded
from training.model import Transformer
from training.parallel import whole
from training.symmetric_grid import on_grid


@dataclass(frozen=True)
class GridConfig:
    """Training on the grid of 4-bit codes."""

    bits: int = 0
    """4: every matrix, the embedding too, is trained through its rounding. 0: none is."""
    calibration_tokens: int = 16384
    """Tokens of the training dialogues by which the first rounding is made good (GPTQ)."""


class _Nearest(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, scales: Tensor) -> Tensor:
        return on_grid(values, scales)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], None


class GridWeight(nn.Module):
    """The rounding of one matrix [N, K], as a parametrization of it."""

    def __init__(self, scales_NG: Tensor) -> None:
        super().__init__()
        self.register_buffer("scales_NG", scales_NG)
        self.scales_NG: Tensor

    def forward(self, values_NK: Tensor) -> Tensor:
        """Return the rounded matrix; the gradient passes as if it were ``values_NK``."""
        rounded: Tensor = _Nearest.apply(values_NK, self.scales_NG)  # type: ignore[no-untyped-call]
        return rounded


def put_on_grid(transformer: Transformer, rounded: dict[str, Rounded]) -> None:
    """Train a transformer through rounding from now on, in place.

    Args:
        rounded: what to train instead of the weights, by the modules' names.
    """
    for name, found in rounded.items():
        module = transformer.get_submodule(name)
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        with torch.no_grad():
            weight.copy_(found.values_NK)
        parametrize.register_parametrization(module, "weight", GridWeight(found.scales_NG))


def trained_on_grid(transformer: nn.Module) -> bool:
    """Whether some matrix is trained through its rounding."""
    return any(isinstance(module, GridWeight) for module in transformer.modules())


@torch.no_grad()
def rounded_weights(transformer: Transformer) -> Transformer:
    """Return an ordinary transformer with the rounded weights; itself when none are.

    Every process must call this where the weights are sharded.
    """
    if not trained_on_grid(transformer):
        return transformer
    plain = Transformer(transformer.architecture, transformer.context_length)
    plain.to(transformer.norm.weight.device)
    for name, target in plain.named_modules():
        source = transformer.get_submodule(name)
        for leaf, parameter in target.named_parameters(recurse=False):
            parameter.copy_(whole(getattr(source, leaf).detach()))
    return plain
