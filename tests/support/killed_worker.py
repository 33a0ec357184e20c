"""Trains the tiny task in a folder, and kills itself at a micro-batch: kill -9, nothing runs after.

Usage: killed_worker.py FOLDER MICRO_BATCH; FOLDER/rows.txt lists the rows read, step by step.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch import Tensor

from tests.support.tiny import tiny_transformer
from tests.support.tiny_task import MaskedBatch, MaskedTask, RaggedSource
from training.loop import LoopConfig, train
from training.optimizer import OptimizerConfig
from training.run import Run

CONFIG = LoopConfig(
    steps=16,
    accumulate=3,
    eval_every=8,
    save_every=3,
    save_seconds=0,
    log_every=1,
    keep_state=True,
    threads=1,
    optimizer=OptimizerConfig(kind="muon+adamw"),
)


class _Noting(MaskedTask):
    """Writes down what it reads, and dies at one micro-batch."""

    def __init__(self, folder: Path, fatal: int) -> None:
        super().__init__(tiny_transformer(), noise=True)
        self.notes, self.fatal = folder / "rows.txt", fatal

    def loss(self, batch: MaskedBatch) -> tuple[Tensor, int]:
        with self.notes.open("a") as stream:
            stream.write(" ".join(map(str, batch.ids[:, 0].tolist())) + "\n")
        if self.calls + 1 == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch)


def run(folder: Path, fatal: int = 0) -> MaskedTask:
    """Train, or go on; 40 rows are an epoch and 12 a step, so epochs end inside steps."""
    torch.manual_seed(0)
    resume = (folder / "config.json").exists()
    place = Run.create(folder, "test", CONFIG, ["test"], resume)
    task = _Noting(folder, fatal)
    train(task.transformer, task, RaggedSource(4), CONFIG, place, resume)
    return task


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
