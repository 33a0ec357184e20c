"""The symmetric 4-bit grid: ``scale * code``, codes from -8 to 7, one scale for BLOCK columns.

Shapes: N outputs, K inputs, a multiple of BLOCK; G = K / BLOCK blocks of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 32
LOWEST, HIGHEST = -8, 7
# Codes on which a block's largest value may come to lie: the last one or near it.
LARGEST_CODES = (-8, -7.6, -7.2, -6.8, 7, 7.4)
# Largest codes of blocks that lie on a symmetric grid already.
GRID_CODES = (-7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6)


def on_grid(values_NK: Tensor, scales_NG: Tensor) -> Tensor:
    """Return the grid's points nearest to values [N, K]."""
    scales = scales_NG.unsqueeze(-1)
    codes = values_NK.unflatten(-1, (-1, BLOCK)).div(scales).round_().clamp_(LOWEST, HIGHEST)
    return codes.mul_(scales).flatten(-2)


def best_scales(values_NK: Tensor, largest_codes: Sequence[float] = LARGEST_CODES) -> Tensor:
    """Return the scales [N, G] of the least squared error among a few; negative ones occur.

    Args:
        largest_codes: those that a block's largest value may get, whatever its sign.
    """
    blocks = values_NK.unflatten(-1, (-1, BLOCK))
    largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))[..., 0]
    best = torch.full_like(largest, torch.inf)
    scales = torch.zeros_like(largest)
    for code in largest_codes:
        scale = largest / code
        scale = torch.where(scale.abs() < 1e-10, torch.full_like(scale, 1e-10), scale)
        lost = on_grid(values_NK, scale).sub_(values_NK).square_()
        total = lost.unflatten(-1, (-1, BLOCK)).sum(-1)
        better = total < best
        best, scales = torch.where(better, total, best), torch.where(better, scale, scales)
    return scales


def grid_scales(values_NK: Tensor) -> Tensor:
    """Return ``best_scales`` among more: values that lie on a grid already come back exactly."""
    return best_scales(values_NK, LARGEST_CODES + GRID_CODES)
