"""Which of several processes this is, by the variables that torchrun sets; needs no torch."""

from __future__ import annotations

import os


def rank() -> int:
    """Return this process's number among all of them, 0 when it is alone."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return how many processes train together, on all hosts."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return this process's number on its host, which is also its GPU's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def primary() -> bool:
    """Whether this process writes files and speaks; the others only compute."""
    return rank() == 0
