"""Tokens a CPU second of our loop, of a nanoGPT-style loop and of Hugging Face's Trainer.

python -m benchmarks.training.speed [--preset small] [--rows 4] [--length 256] [--steps 3]

Every loop, in a process of its own, takes one step in turn (the Trainer a short run), round after
round, so that whatever else the machine does hits all of them and none gains from what another
sets; what counts is each one's fastest step, in seconds of the processor. Same width, layers,
heads, vocabulary, rows and length; random tokens. Needs transformers and accelerate.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from assistant.bundle import Architecture
from benchmarks.training.peers import NanoGpt, hugging_face_trainer, nanogpt_steps
from training.allocator import keep_freed_memory
from training.config import load_config
from training.loop import LoopConfig, _Loop
from training.model import Transformer, parameter_count
from training.muon import has_bfloat16
from training.optimizer import OptimizerConfig
from training.planning import VOCABULARY, flops_per_token
from training.precision import Precision
from training.pretraining.config import PretrainConfig
from training.pretraining.task import PretrainTask, TokenBatch
from training.run import Run


class _Windows:
    """Random windows, as a ``BatchSource``."""

    def __init__(self, ids: torch.Tensor, rows: int, length: int) -> None:
        self.ids, self.rows, self.length = ids, rows, length

    def next(self) -> TokenBatch:
        """Return a batch."""
        starts = torch.randint(len(self.ids) - self.length - 1, (self.rows,))
        rows = torch.stack([self.ids[i : i + self.length + 1] for i in starts])
        return TokenBatch(rows[:, :-1], rows[:, 1:])

    def skip(self) -> None:
        """Go past one."""

    def state(self) -> dict[str, object]:
        """Return nothing."""
        return {}

    def load_state(self, state: dict[str, object]) -> None:
        """Nothing to load."""

    @property
    def epoch(self) -> float:
        """None."""
        return 0.0


class _Task(PretrainTask):
    """Pretraining's own loss, without held-out data."""

    def __init__(self, transformer: Transformer, number: Precision, compile_model: bool) -> None:
        self.transformer, self._precision = transformer, number
        self._device = transformer.embed_tokens.weight.device
        self._prepare(compile_model)


def our_steps(
    a: Architecture,
    ids: torch.Tensor,
    rows: int,
    length: int,
    kind: str,
    number: Precision = "float32",
    compile_model: bool = False,
) -> Iterator[None]:
    """Take steps of the training loop, accumulation, clipping, schedule and all."""
    keep_freed_memory()  # as training.loop.train does
    transformer = Transformer(a, length)
    transformer.initialize(1)
    config = LoopConfig(steps=10**6, optimizer=OptimizerConfig(kind=kind))  # type: ignore[arg-type]
    source = _Windows(ids, rows, length)
    task = _Task(transformer, number, compile_model)
    loop = _Loop(transformer, task, source, config, Run(Path(), "benchmark"))
    while True:
        loop._step(0.5, 1.0)
        yield


OURS: dict[str, dict[str, object]] = {
    "ours, AdamW": {"kind": "adamw"},
    "ours, Muon + AdamW": {"kind": "muon+adamw"},
    "ours, AdamW, compiled": {"kind": "adamw", "compile_model": True},
    "ours, AdamW, bfloat16": {"kind": "adamw", "number": "bfloat16"},
}
NANOGPT, TRAINER = "nanoGPT-style", "HF Trainer"


def work(name: str, a: Architecture, rows: int, length: int) -> None:
    """Take a step for each line on stdin and print its seconds; the first one allocates."""
    torch.manual_seed(1)
    ids = torch.randint(3, a.vocabulary_size, (length * rows * 16,))
    step: Callable[[], object]
    if name == TRAINER:
        for _ in sys.stdin:
            with contextlib.redirect_stdout(sys.stderr):  # the Trainer prints there
                seconds = _trainer_step(a, ids, rows, length)
            print(seconds, flush=True)
        return
    if name == NANOGPT:
        step = nanogpt_steps(a, ids, rows, length).__next__
    else:
        step = our_steps(a, ids, rows, length, **OURS[name]).__next__  # type: ignore[arg-type]
    for _ in sys.stdin:
        started = time.process_time()
        step()
        print(time.process_time() - started, flush=True)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="small")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trainer", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows, length = options.rows, options.length
    a = load_config(PretrainConfig, options.preset).model.architecture(
        VOCABULARY.get(options.preset, 16_384)
    )
    if options.work:
        work(options.work, a, rows, length)
        return
    left_out = {
        "ours, Muon + AdamW": not options.muon,
        "ours, AdamW, compiled": not options.compile,
        "ours, AdamW, bfloat16": not has_bfloat16(torch.device("cpu")),
        TRAINER: not options.trainer,
    }
    names = [name for name in (*OURS, NANOGPT, TRAINER) if not left_out.get(name)]
    command = [sys.executable, "-m", "benchmarks.training.speed", *sys.argv[1:], "--work"]
    workers = {
        name: subprocess.Popen(
            [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    }
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(options.steps + 1):
        for name, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            print(file=worker.stdin, flush=True)
            seconds = float(worker.stdout.readline())
            if round_:
                times[name].append(seconds)
    for worker in workers.values():
        worker.communicate()
    base = rows * length / min(times[NANOGPT])
    ours, theirs = parameter_count(Transformer(a, length)), parameter_count(NanoGpt(a, length))
    print(f"{rows} x {length} tokens a step, {torch.get_num_threads()} threads, fastest step of")
    print(f"{options.steps}; {flops_per_token(a, length) / 1e6:.0f} MFLOP a token (ours)\n")
    print("| loop | parameters | tokens a CPU second | against nanoGPT-style |\n|---|---|---|---|")
    for name, measured in times.items():
        rate = rows * length / min(measured)
        count = theirs if name == NANOGPT else ours
        print(f"| {name} | {count / 1e6:.1f} M | {rate:,.0f} | {rate / base:.2f} |")


def _trainer_step(a: Architecture, ids: torch.Tensor, rows: int, length: int) -> float:
    """Return the Trainer's time of a step: the faster of two after a first one."""
    import transformers

    class Clock(transformers.TrainerCallback):
        """Notes when steps begin and end."""

        def __init__(self) -> None:
            self.began, self.took = 0.0, [float("inf")]

        def on_step_begin(self, *arguments: object, **options: object) -> None:
            """Start."""
            self.began = time.process_time()

        def on_step_end(self, *arguments: object, **options: object) -> None:
            """Stop."""
            self.took.append(time.process_time() - self.began)

    with tempfile.TemporaryDirectory() as folder:
        trainer = hugging_face_trainer(a, ids, rows, length, 3, folder)
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
    return min(clock.took[2:])


if __name__ == "__main__":
    main()
