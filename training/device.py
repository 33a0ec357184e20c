"""Where it runs: float32 on CPU, bfloat16 matrices on a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from training.world import local_rank, world_size


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU when there is one.

    Started by torchrun, ``cuda`` is the GPU with this process's number on its host.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device cuda: torch finds no GPU here; use --set device=cpu")
    if name == "cuda" and world_size() > 1:
        name = f"cuda:{local_rank()}"
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
