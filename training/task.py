"""What the training loop asks of a stage: batches and a task."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from training.checkpoint import Checkpoint


class BatchSource(Protocol):
    """Deterministic micro-batches, for ever; its position is part of a checkpoint."""

    def next(self) -> Any:
        """Return the next micro-batch, a frozen dataclass of tensors whose first axis is rows."""

    def skip(self) -> None:
        """Go past the next micro-batch without making it: another process computes it."""

    def state(self) -> dict[str, Any]:
        """Return the position as JSON-ready data."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a position."""

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""


class Task(Protocol):
    """What a stage adds to the loop."""

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """Return the sum of the losses and the number of targets it sums over."""

    def tokens(self, batch: Any) -> int:
        """Return the number of tokens that the model reads in this batch."""

    def evaluate(self) -> dict[str, float]:
        """Return validation metrics; the loop has set the module to evaluation, no gradients."""

    def samples(self) -> dict[str, str]:
        """Return what the model makes of some beginnings, by beginning; none: nothing to show."""

    def checkpoint(self) -> Checkpoint:
        """Return what a save writes."""
