"""Run by torchrun: trains the ragged tiny task in several ways and leaves the results in files.

Usage: parallel_worker.py FOLDER; FOLDER/OPTIMIZER/CASE are run folders, see ``PLAN``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.tiny import tiny_transformer
from tests.support.tiny_task import MaskedTask, RaggedSource
from training import parallel
from training.__main__ import main as training_main
from training.loop import LoopConfig, _Loop
from training.optimizer import OptimizerConfig
from training.parallel import leave, whole
from training.run import Paused, Run
from training.world import primary

CASES: dict[str, tuple[int, dict[str, Any]]] = {
    # rows of a micro-batch, and what differs from BASE; every one of them reads 32 rows a step
    "one": (32, {"accumulate": 1}),
    "rows": (32, {"accumulate": 1}),
    "odd": (32 // 4, {"accumulate": 4}),
    "micro": (4, {"accumulate": 8}),
    "fsdp": (4, {"accumulate": 8, "parallel": "fsdp"}),
    "fsdp-rows": (32, {"accumulate": 1, "parallel": "fsdp"}),
    "fsdp-paused": (4, {"accumulate": 8, "parallel": "fsdp", "stop_after": 1e-9}),
}
PLAN = {
    "adamw": ["rows", "odd", "micro", "fsdp", "fsdp-rows", "fsdp-paused"],
    "muon+adamw": ["micro", "fsdp", "fsdp-paused"],
}
BASE = LoopConfig(
    steps=4, save_seconds=0, log_every=1, threads=1, optimizer=OptimizerConfig(kind="muon+adamw")
)


ADAPTERS = [
    *("lora.rank=4", "loop.steps=4", "loop.save_every=2", "loop.log_every=1", "loop.threads=1"),
    *("batch_size=4", "retention.tokens=0", "data.system_prompt=", "device=cpu"),
]


def run_case(folder: Path, name: str, kind: str) -> None:
    """Train one case; its folder gets the first step's gradients.safetensors as well."""
    folder = folder / kind
    rows, changes = CASES[name]
    optimizer = OptimizerConfig(kind=kind, muon_precision="float32")  # type: ignore[arg-type]
    config = dataclasses.replace(BASE, **changes, optimizer=optimizer)
    gradients: dict[str, torch.Tensor] = {}
    for attempt in range(config.steps + 1):
        task = MaskedTask(tiny_transformer())
        run = Run.create(folder / name, "test", config, ["test"], resume=attempt > 0)
        loop = _Loop(task.transformer, task, RaggedSource(rows), config, run)
        clip = loop.optimizers.clip

        def noted(divisor: float, loop: _Loop = loop, clip: Any = clip) -> float:
            if not gradients:
                for key, parameter in loop.module.named_parameters():
                    assert parameter.grad is not None
                    gradients[key] = whole(parameter.grad).detach() / divisor
            return clip(divisor)

        loop.optimizers.clip = noted  # type: ignore[method-assign]
        try:
            loop.run(resume=attempt > 0)
            break
        except Paused:
            continue
    if primary():
        save_file(gradients, folder / name / "gradients.safetensors")
        (folder / name / "attempts.json").write_text(json.dumps(attempt + 1))


def commands(folder: Path, kind: str) -> None:
    """Pretrain by the command line: FOLDER/KIND/straight, and FOLDER/KIND/cut in two pieces."""
    start = ["training", "pretrain", "--preset", "tiny", "--data", str(folder / "data")]
    start += ["--set", "loop.steps=6", "--set", "sample_tokens=4", "--parallel", kind]
    start += ["--set", "loop.save_every=2", "--output"]
    for name, *more in (
        ("straight",),
        ("cut", "--set", "loop.stop_after=1e-9"),
        ("cut", "--resume"),
    ):
        sys.argv = [*start, str(folder / kind / name), *more]
        with contextlib.suppress(SystemExit):
            training_main()


def adapters(folder: Path, kind: str) -> None:
    """Fine-tune adapters by the command line: FOLDER/KIND/adapters, and KIND/adapters-cut."""
    start = ["training", "finetune", "chat", "--preset", "tiny", "--parallel", kind]
    start += [part for setting in ADAPTERS for part in ("--set", setting)]
    start += ["--set", f"foundation={folder / 'foundation'}"]
    start += ["--set", f'data.files=["{folder / "chat.jsonl"}"]', "--output"]
    cut = ("--set", "loop.stop_after=1e-9")
    for name, *more in (("adapters",), ("adapters-cut", *cut), ("adapters-cut", "--resume")):
        sys.argv = [*start, str(folder / kind / name), *more]
        with contextlib.suppress(SystemExit):
            training_main()


def main() -> None:
    """Train every case that is named, then by the command line."""
    torch.set_num_threads(1)
    (folder,) = sys.argv[1:]
    for kind, names in PLAN.items():
        for name in names:
            run_case(Path(folder), name, kind)
    parallel.leave = lambda: None  # the commands would part and could not meet again
    for kind in ("ddp", "fsdp"):
        commands(Path(folder), kind)
        adapters(Path(folder), kind)
    leave()


if __name__ == "__main__":
    main()
