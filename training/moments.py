"""Second moments of what layers read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def input_sums(modules: Iterable[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """While it is open, sum x x^T over the tokens that each module reads: [K, K] a module."""
    sums: dict[nn.Module, Tensor] = {}

    def add(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x_TK = inputs[0].detach().flatten(0, -2).float()
        sums[module] = sums.get(module, torch.zeros(())) + x_TK.T @ x_TK

    hooks = [module.register_forward_pre_hook(add) for module in modules]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()
