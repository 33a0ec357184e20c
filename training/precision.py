"""Which number format the matrix products of a forward pass use."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from training.device import autocast

Precision = Literal["auto", "float32", "bfloat16"]


def precision(device: torch.device, kind: Precision) -> AbstractContextManager[object]:
    """Return the context of the forward pass; weights, norms and losses stay float32."""
    if kind == "auto":
        return autocast(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=kind == "bfloat16")
