"""What a step needs in memory, and how many sequences fit.

Fixed: weights, gradients and the optimizer's averages, 4 bytes each (AdamW keeps two averages a
parameter, Muon one). Growing with the micro-batch: what the forward pass keeps for the backward
pass, which is counted on one sequence (``torch.autograd.graph.saved_tensors_hooks``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.device import autocast
from training.model import Transformer, parameter_count
from training.optimizer import OptimizerConfig, role

SAFETY = 0.7
"""Share of the free memory that is planned with: kernels and the allocator take the rest."""


@dataclass(frozen=True)
class Need:
    """Bytes that training needs.

    Attributes:
        weights: the model.
        training: gradients and the optimizer's averages.
        sequence: kept for the backward pass, for each sequence of a micro-batch.
    """

    weights: int
    training: int
    sequence: int

    def largest(self, free: int) -> int:
        """Return how many sequences fit into ``free`` bytes beside what is fixed; at least 1.

        Args:
            free: bytes that are free while the weights are loaded.
        """
        return max(1, int((free * SAFETY - self.training) // max(self.sequence, 1)))


def saved_bytes(forward: Callable[[], Tensor]) -> int:
    """Return the bytes that a forward pass keeps for its backward pass, each storage once."""
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        held = forward()  # its graph keeps the tensors, so no address is used twice
        total = sum(seen.values())
    del held
    return total


def need(transformer: Transformer, length: int, config: OptimizerConfig) -> Need:
    """Measure what pretraining with sequences of ``length`` tokens needs."""
    device = transformer.embed_tokens.weight.device
    ids = torch.zeros(1, length, dtype=torch.long, device=device)

    def forward() -> Tensor:
        with autocast(device):
            logits = transformer(ids)
        return F.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="sum")

    weights = 4 * parameter_count(transformer)
    own = {p.untyped_storage().data_ptr() for p in transformer.parameters()}
    kept = saved_bytes(forward) - sum(
        p.untyped_storage().nbytes() for p in transformer.parameters() if p.data_ptr() in own
    )
    return Need(weights, weights + average_bytes(transformer, config), max(kept, 1))


def average_bytes(module: nn.Module, config: OptimizerConfig) -> int:
    """Return the bytes of the optimizers' averages."""
    muon = config.kind == "muon+adamw"
    return sum(
        4 * parameter.numel() * (1 if muon and role(name, parameter) == "matrix" else 2)
        for name, parameter in module.named_parameters()
    )


def free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a GPU or of this machine; None where it cannot be found out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def fitted(batch_size: int, accumulate: int, largest: int) -> tuple[int, int]:
    """Return a micro-batch of at most ``largest`` sequences and how many make the same step."""
    while batch_size > largest and batch_size % 2 == 0:
        batch_size, accumulate = batch_size // 2, accumulate * 2
    return batch_size, accumulate
