"""Where it runs: float32 on CPU, bfloat16 matrices on a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU when there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device cuda: torch finds no GPU here; use --set device=cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name}: expected auto, cpu or cuda") from error


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return the context of the forward pass: bfloat16 on GPU, nothing on CPU.

    Without AVX-512 or AMX, bfloat16 is emulated on CPU and an order of magnitude slower.
    """
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
