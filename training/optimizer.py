"""Optimizers: Muon for the blocks' matrices and AdamW for the rest, or AdamW alone.

Muon (https://kellerjordan.github.io/posts/muon/) orthogonalises the momentum of a matrix and
needed fewer tokens than AdamW in our small runs (docs/experiments.md).
AdamW: https://arxiv.org/abs/1711.05101.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from training.muon import Muon, MuonPrecision
from training.parallel import whole

Role = Literal["matrix", "embedding", "gain", "head"]
ROLES: tuple[Role, ...] = ("matrix", "embedding", "gain", "head")


@dataclass(frozen=True)
class OptimizerConfig:
    """Which optimizer, and its rates at the top of the schedule."""

    kind: Literal["muon+adamw", "adamw"] = "adamw"
    """muon+adamw: Muon on the blocks' matrices, AdamW on the rest. adamw: AdamW alone."""
    learning_rate: float = 1e-3
    """AdamW alone: learning rate of every parameter."""
    muon_learning_rate: float = 0.02
    """Muon: learning rate of the blocks' matrices."""
    embedding_learning_rate: float = 0.02
    """Beside Muon: learning rate of the tied embedding."""
    gain_learning_rate: float = 0.01
    """Beside Muon: learning rate of gains and biases."""
    head_learning_rate: float = 0.002
    """Beside Muon: learning rate of a classification head."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices (never of gains and embeddings); falls to 0 over the run."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's averaging of gradients and of their squares."""
    epsilon: float = 1e-8
    """AdamW's guard against division by zero."""
    momentum: tuple[float, float] = (0.85, 0.95)
    """Muon's momentum at the first step and after momentum_steps."""
    momentum_steps: int = 300
    """Steps over which Muon's momentum rises."""
    muon_precision: MuonPrecision = "auto"
    """Of Muon's products. auto: bfloat16, but float32 on a CPU that would emulate it."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 leaves it as it is."""


def role(name: str, parameter: Tensor) -> Role:
    """Return what a parameter is, by its name and shape."""
    if parameter.ndim < 2:
        return "gain"
    if "embed_tokens" in name:
        return "embedding"
    return "matrix" if "layers." in name else "head"


class Optimizers:
    """The optimizers of one model, stepped and saved together."""

    def __init__(self, optimizers: list[torch.optim.Optimizer], config: OptimizerConfig) -> None:
        self.optimizers, self.config = optimizers, config

    @property
    def groups(self) -> list[dict[str, Any]]:
        """All parameter groups, each with its ``role``, ``peak_lr`` and ``peak_decay``."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def parameters(self) -> list[Tensor]:
        """Return every parameter that is trained."""
        return [parameter for group in self.groups for parameter in group["params"]]

    def schedule(self, step: int, progress: float, multiplier: float) -> None:
        """Set this step's learning rates, decay and momentum.

        Args:
            step: optimizer steps done.
            progress: fraction of the run that is done.
            multiplier: see ``training.schedule.multiplier``.
        """
        first, last = self.config.momentum
        share = min(step / max(self.config.momentum_steps, 1), 1.0)
        for group in self.groups:
            group["lr"] = group["peak_lr"] * multiplier
            group["weight_decay"] = group["peak_decay"] * (1.0 - progress)
            if "momentum" in group:
                group["momentum"] = first + (last - first) * share

    def clip(self, divisor: float = 1.0) -> float:
        """Divide the gradient, clip its norm as configured, and return what the norm was.

        Both in one pass over the memory.
        """
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = float(whole(nn.utils.get_total_norm(gradients))) / divisor
        limit = self.config.clip or float("inf")
        # as torch.nn.utils.clip_grad_norm_ does it
        factor = min(limit / (norm + 1e-6), 1.0) / divisor
        if factor != 1.0:
            for gradient in gradients:
                gradient.mul_(factor)
        return norm

    def step(self) -> None:
        """Apply the gradients and clear them."""
        for optimizer in self.optimizers:
            optimizer.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the averages as named tensors, for a safetensors file."""
        tensors: dict[str, Tensor] = {}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    kept = value if isinstance(value, Tensor) else torch.tensor(value)
                    tensors[f"{number}.{index}.{key}"] = kept.detach().cpu().contiguous()
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what ``state_tensors`` returned.

        Raises:
            ValueError: they belong to another model or another kind of optimizer.
        """
        states: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimizers]
        try:
            for name, tensor in tensors.items():
                number, index, key = name.split(".", 2)
                states[int(number)].setdefault(int(index), {})[key] = tensor
            for optimizer, state in zip(self.optimizers, states, strict=True):
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": state, "param_groups": groups})
        except (IndexError, KeyError, ValueError) as error:
            raise ValueError(
                "The saved optimizer state does not fit this model and optimizer; "
                "resume with the settings of the first start"
            ) from error


def build_optimizers(module: nn.Module, config: OptimizerConfig) -> Optimizers:
    """Put every trainable parameter into exactly one group, by its role.

    Raises:
        ValueError: nothing is trainable.
    """
    by_role: dict[Role, list[nn.Parameter]] = {r: [] for r in ROLES}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            by_role[role(name, parameter)].append(parameter)
    if not any(by_role.values()):
        raise ValueError("No parameter of the model is trainable")
    if config.kind == "muon+adamw":
        rates: dict[Role, float] = {
            "matrix": config.muon_learning_rate,
            "embedding": config.embedding_learning_rate,
            "gain": config.gain_learning_rate,
            "head": config.head_learning_rate,
        }
    else:
        rates = dict.fromkeys(ROLES, config.learning_rate)

    def group(r: Role) -> dict[str, Any]:
        decay = config.weight_decay if r in ("matrix", "head") else 0.0
        return {
            "params": by_role[r],
            "role": r,
            "lr": rates[r],
            "peak_lr": rates[r],
            "weight_decay": decay,
            "peak_decay": decay,
        }

    optimizers: list[torch.optim.Optimizer] = []
    left = [r for r in ROLES if by_role[r]]
    if config.kind == "muon+adamw" and by_role["matrix"]:
        left.remove("matrix")
        optimizers.append(
            Muon([group("matrix")], config.muon_precision, momentum=config.momentum[1])
        )
    if left:
        groups = [group(r) for r in left]
        # fused: one pass over the memory instead of a dozen, on CPU too
        optimizers.append(
            torch.optim.AdamW(groups, betas=config.betas, eps=config.epsilon, fused=True)
        )
    built = Optimizers(optimizers, config)
    grouped = [id(parameter) for parameter in built.parameters()]
    trainable = {id(p) for p in module.parameters() if p.requires_grad}
    assert len(grouped) == len(set(grouped)), "a parameter is in two groups"
    assert set(grouped) == trainable, "a trainable parameter is in no group"
    return built
