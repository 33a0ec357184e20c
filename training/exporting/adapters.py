"""The low-rank adapters of a checkpoint that keeps them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from training.finetuning.lora import LoraLinear


@dataclass(frozen=True)
class Adapter:
    """A term ``up @ down`` of a linear layer's matrix [N, K].

    Attributes:
        down_RK: float32, alpha / rank included.
        up_NR: float32, for the outputs from ``first_output`` on.
    """

    down_RK: NDArray[np.float32]
    up_NR: NDArray[np.float32]
    first_output: int


def base_layer(module: nn.Module) -> nn.Linear:
    """Return the linear layer itself, without its adapter if it has one."""
    layer = module.base if isinstance(module, LoraLinear) else module
    assert isinstance(layer, nn.Linear)
    return layer


def adapters_of(modules: tuple[nn.Module, ...]) -> list[Adapter]:
    """Return the adapters of linear layers whose outputs are stacked in this order."""
    found, first = [], 0
    for module in modules:
        if isinstance(module, LoraLinear):
            down, up = module.scale * module.lora_a, module.lora_b
            found.append(
                Adapter(
                    down.detach().float().cpu().numpy(), up.detach().float().cpu().numpy(), first
                )
            )
        first += base_layer(module).out_features
    return found
