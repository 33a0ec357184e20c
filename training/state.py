"""What a running job saves to go on exactly where it was, and how it is read again.

One process, or several with DDP: one safetensors file, see training/checkpoint.py. FSDP: each
process writes its own shards with ``torch.distributed.checkpoint`` into ``checkpoint/sharded``,
which any number of processes can read again; only the run that wrote them reads them (PyTorch
keeps their index in a pickle), and the model itself is in model.safetensors all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.checkpoint import load_state, recovered, save_checkpoint
from training.optimizer import Optimizers
from training.parallel import Workers, meet
from training.run import Run
from training.task import BatchSource, Task

SHARDED = "sharded"


class RunState:
    """Model, optimizers, random numbers and data position of a run, to and from its folder."""

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        source: BatchSource,
        optimizers: Optimizers,
        run: Run,
        workers: Workers,
    ) -> None:
        self.module, self.task, self.source = module, task, source
        self.optimizers, self.run, self.workers = optimizers, run, workers

    def save_final(self, position: dict[str, Any]) -> None:
        """Save the model and the position, without the optimizers' averages."""
        state = {"position": position, "source": self.source.state()}
        save_checkpoint(self.run.checkpoint, self.task.checkpoint(), {}, state)

    def save(self, position: dict[str, Any]) -> None:
        """Save everything that the next step depends on; every process takes part."""
        tensors = {"random.cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        if not self.workers.sharded:
            averages = self.optimizers.state_tensors()
            tensors |= {f"optimizer.{name}": value for name, value in averages.items()}
            tensors |= {f"module.{name}": v.cpu() for name, v in self._trained().items()}
        state = {"position": position, "source": self.source.state()}
        checkpoint = self.task.checkpoint()
        shards = self._save_shards if self.workers.sharded else None
        save_checkpoint(self.run.checkpoint, checkpoint, tensors, state, shards)

    def restore(self) -> dict[str, Any]:
        """Go back to what was saved; returns the position.

        Raises:
            ValueError: it belongs to another model, optimizer or way of running in parallel.
        """
        place = self.run.checkpoint
        tensors, state = load_state(place)
        position: dict[str, Any] = state["position"]
        self.source.load_state(state["source"])
        if position["finished"]:
            return position
        shards = recovered(place) / SHARDED
        if shards.exists() != self.workers.sharded:
            was = "with --parallel fsdp" if shards.exists() else "without --parallel fsdp"
            raise ValueError(f"{place} was saved {was}: resume the same way")
        if self.workers.sharded:
            self._load_shards(shards)
        else:
            saved, expected = _under("module.", tensors), self._trained()
            if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in expected.items()}:
                raise ValueError(
                    f"{place} holds another model; resume with the settings of the first start"
                )
            self.module.load_state_dict(saved, strict=False)  # what is frozen is not saved
            self.optimizers.load_state_tensors(_under("optimizer.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        meet()
        return position

    def _trained(self) -> dict[str, Tensor]:
        """Trained parameters and buffers; what is frozen comes from the foundation again."""
        trained = {name for name, p in self.module.named_parameters() if p.requires_grad}
        frozen = {name for name, _ in self.module.named_parameters()} - trained
        state = self.module.state_dict()
        return {k: v.detach().contiguous() for k, v in state.items() if k not in frozen}

    def _save_shards(self, directory: Path) -> None:
        from torch.distributed.checkpoint.state_dict_saver import save  # seconds to load

        save(self._shards(), checkpoint_id=directory / SHARDED)

    def _load_shards(self, directory: Path) -> None:
        from torch.distributed.checkpoint.api import CheckpointException
        from torch.distributed.checkpoint.state_dict import set_state_dict
        from torch.distributed.checkpoint.state_dict_loader import load

        state = self._shards()
        try:
            load(state, checkpoint_id=directory)
        except (RuntimeError, ValueError, CheckpointException) as error:
            raise ValueError(
                f"{directory} holds another model or optimizer; resume with the settings of the "
                "first start"
            ) from error
        set_state_dict(
            self.workers.step,
            self.optimizers.optimizers,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )

    def _shards(self) -> dict[str, Any]:
        from torch.distributed.checkpoint.state_dict import get_state_dict

        model, averages = get_state_dict(self.workers.step, self.optimizers.optimizers)
        return {"model": model, "optimizer": averages}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
