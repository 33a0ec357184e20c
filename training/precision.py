"""Which number format the matrix products of training use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from training.device import autocast

Precision = Literal["auto", "float32", "bfloat16", "bfloat16-products"]


def precision(device: torch.device, kind: Precision) -> AbstractContextManager[object]:
    """Return the context of the forward pass; weights, norms and losses stay float32."""
    if kind == "auto":
        return autocast(device)
    if kind == "bfloat16-products":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=kind == "bfloat16")


@contextmanager
def products(kind: Precision) -> Iterator[None]:
    """Compute the products of float32 matrices in bfloat16 inside, gradients too, if so asked.

    Every tensor stays float32, so the operations of training/fused.py go on being used; it is the
    faster way for a decoder on a CPU with AMX or AVX512-BF16.
    """
    before = torch.get_float32_matmul_precision()
    if kind == "bfloat16-products":
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
