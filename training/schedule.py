"""Warm-up, stable, linear decay: one multiplier of every learning rate.

Driven by progress in [0, 1] rather than by steps, so that a run cut to a time budget ends
decayed too.
"""

from __future__ import annotations


def multiplier(progress: float, warmup: float, decay: float, floor: float = 0.0) -> float:
    """Return the learning-rate multiplier.

    Args:
        progress: fraction of the run that is done, 0 to 1.
        warmup: fraction of the run over which it rises from near 0 to 1.
        decay: fraction of the run, at its end, over which it falls to ``floor``.

    Raises:
        ValueError: the fractions are negative or overlap.
    """
    if warmup < 0 or decay < 0 or warmup + decay > 1 + 1e-9:
        raise ValueError(
            f"warmup {warmup} and decay {decay} are fractions of the run: together at most 1"
        )
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return max(progress / warmup, 1e-3)  # a step with rate 0 is a step wasted
    left = 1.0 - progress
    if left < decay:
        return floor + (1.0 - floor) * left / decay
    return 1.0
