"""Several processes train one model: torchrun starts them, gloo (CPU) or NCCL (GPU) joins them.

DDP (https://arxiv.org/abs/2006.15704): every process holds the whole model and the gradients are
averaged. FSDP2 (https://arxiv.org/abs/2304.11277, ``torch.distributed.fsdp.fully_shard``): each
process holds a part of every parameter, gradient and average, and gathers a block when it is used.

A process works on its share of each step's batch: whole micro-batches where their number divides
among the processes, otherwise rows of each micro-batch. Either way the step reads the same data
as one process alone would, in the same order, and the position in the data is one number for all.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.model import Block
from training.world import local_rank, world_size

Parallel = Literal["ddp", "fsdp"]


class Losses(Protocol):
    """What is needed of a task here."""

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """Return the summed loss and the number of targets."""

    def evaluate(self) -> dict[str, float]:
        """Return validation metrics."""

    def samples(self) -> dict[str, str]:
        """Return continuations by beginning."""


def join(device: torch.device) -> None:
    """Join the other processes, once; nothing to do for a process that is alone."""
    if world_size() > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(local_rank())
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30)
        )


def leave() -> None:
    """Part from the other processes."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def meet() -> None:
    """Wait until every process is here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def smallest(value: int, device: torch.device) -> int:
    """Return the smallest value that any process has."""
    join(device)
    if not (dist.is_available() and dist.is_initialized()):
        return value
    held = torch.tensor([value], dtype=torch.int64, device=device)
    dist.all_reduce(held, dist.ReduceOp.MIN)
    return int(held)


def whole(tensor: Tensor) -> Tensor:
    """Return a sharded tensor in one piece (all processes must ask); others as they are."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


class _Step(nn.Module):
    """What DDP and FSDP wrap: the forward pass is the task's whole loss, so that their hooks
    see every use of a parameter, the tied embedding's second one included."""

    def __init__(self, module: nn.Module, task: Losses) -> None:
        super().__init__()
        self.module, self.task = module, task

    def forward(self, batch: Any) -> Any:
        """Return the loss of a batch; validation metrics and samples when there is none."""
        if batch is None:
            return self.task.evaluate(), self.task.samples()
        return self.task.loss(batch)


class Workers:
    """This process and the others: losses and gradients summed over all of them.

    Args:
        module: holds the trained parameters; FSDP replaces them by shards, in place, so
            optimizers are built afterwards.
    """

    def __init__(self, module: nn.Module, task: Losses, kind: Parallel) -> None:
        self.device = next(module.parameters()).device
        join(self.device)
        self.size = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.sharded = kind == "fsdp" and self.size > 1
        self.step: nn.Module = _Step(module, task)
        self._task = task
        if kind == "fsdp" and self.size == 1:
            print(
                "warning: --parallel fsdp needs several processes, started by torchrun; "
                "this one trains as without it",
                file=sys.stderr,
            )
        if self.sharded:
            _shard(self.step, self.device, self.size)
        elif self.size > 1:
            with warnings.catch_warnings():  # torch 2.13 renames broadcast_buffers, 2.11 cannot
                warnings.simplefilter("ignore", FutureWarning)
                self.step = nn.parallel.DistributedDataParallel(
                    self.step,
                    device_ids=[local_rank()] if self.device.type == "cuda" else None,
                    broadcast_buffers=False,
                    gradient_as_bucket_view=True,
                )

    def backward(self, batch: Any, weight: float, last: bool) -> tuple[Tensor, int]:
        """Add a micro-batch's gradient; returns this process's summed loss and targets.

        Args:
            weight: 0 for a batch that only keeps this process in step with the others.
            last: it is the step's last one: DDP exchanges gradients then, not before.
        """
        # FSDP exchanges them each time: it keeps no gradient in one piece to add to
        waits = self.size > 1 and not self.sharded and not last
        with self.step.no_sync() if waits else nullcontext():  # type: ignore[operator]
            summed, count = self.step(batch)
            if weight != 1.0:
                summed, count = summed * weight, 0
            summed.backward()
        return summed.detach(), count

    def evaluate(self) -> tuple[dict[str, float], dict[str, str]]:
        """Return validation metrics and samples; every process computes them."""
        if not self.sharded:
            return self._task.evaluate(), self._task.samples()
        metrics, samples = self.step(None)
        return metrics, samples

    def divisor(self, targets: float) -> float:
        """Return what makes gradients, averages over the processes by now, means over targets."""
        return targets / self.size

    def sum(self, *values: float) -> list[float]:
        """Return each value summed over the processes."""
        return self._reduced(values, dist.ReduceOp.SUM) if self.size > 1 else list(values)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self._reduced((float(flag),), dist.ReduceOp.MAX)[0] if self.size > 1 else flag)

    def agreed(self, value: float) -> float:
        """Return the first process's value: clocks differ, decisions must not."""
        if self.size == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(held, 0)
        return float(held)

    def _reduced(self, values: tuple[float, ...], operation: Any) -> list[float]:
        held = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(held, operation)
        return [float(value) for value in held]


def _shard(step: nn.Module, device: torch.device, size: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # blocks return views; nothing changes them in place, which is what torch warns of
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)
    mesh = init_device_mesh(device.type, (size,))
    for module in list(step.modules()):
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(step, mesh=mesh)


class ShareOfBatches:
    """This process's share of a step's micro-batches.

    Args:
        source: the same in every process; a ``BatchSource``.
        accumulate: micro-batches of a step, over all processes.
    """

    def __init__(self, source: Any, accumulate: int, number: int, size: int) -> None:
        self.source, self.number, self.size = source, number, size
        self.by_rows = accumulate % size != 0
        self.steps = accumulate if self.by_rows else accumulate // size
        """Micro-batches that this process computes in a step."""

    def next(self) -> tuple[Any, float]:
        """Return a micro-batch and its weight: 0 when no row of it is this process's."""
        if self.size == 1:
            return self.source.next(), 1.0
        if self.by_rows:
            return rows_of(self.source.next(), self.number, self.size)
        chosen = None
        for number in range(self.size):
            if number == self.number:
                chosen = self.source.next()
            else:
                self.source.skip()
        return chosen, 1.0


def rows_of(batch: Any, number: int, size: int) -> tuple[Any, float]:
    """Return one of ``size`` shares of a batch, a dataclass of tensors with rows first.

    A batch with fewer rows than processes leaves some of them the first row, with weight 0.

    Raises:
        ValueError: its rows belong together (``divisible`` is false).
    """
    if not getattr(batch, "divisible", True):
        raise ValueError(
            f"The micro-batches of this stage can't be shared out: set loop.accumulate to a "
            f"multiple of the {size} processes"
        )
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    count = len(next(iter(values.values())))
    start, stop = count * number // size, count * (number + 1) // size
    weight = 1.0
    if start == stop:
        start, stop, weight = 0, 1, 0.0
    return dataclasses.replace(batch, **{k: v[start:stop] for k, v in values.items()}), weight
