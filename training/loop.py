"""The training loop that every stage shares.

A step accumulates the gradient of the *summed* loss over its micro-batches and divides once by
the number of targets in all of them: how a batch is cut into micro-batches cannot change it.
The same holds for processes (training/parallel.py): the sums run over all of them.
A checkpoint holds the model, the optimizers' averages, the random state and the position in
the data, so a resumed run equals an uninterrupted one bit for bit on CPU.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from assistant.text import sanitize_line
from training.allocator import keep_freed_memory
from training.interrupts import interruptible
from training.optimizer import OptimizerConfig, Optimizers, build_optimizers
from training.parallel import Parallel, ShareOfBatches, Workers
from training.progress import Progress
from training.run import Paused, Run
from training.schedule import multiplier
from training.state import RunState
from training.task import BatchSource, Task


@dataclass(frozen=True)
class LoopConfig:
    """How long, how fast, how often."""

    steps: int = 1000
    """Optimizer steps of the whole run."""
    accumulate: int = 1
    """Micro-batches in a step, over all processes together."""
    parallel: Parallel = "ddp"
    """With torchrun. ddp: each process holds the whole model; fsdp: its share of it."""
    max_seconds: float = 0.0
    """Wall-clock budget: the schedule follows time and the run ends decayed. 0: no budget."""
    stop_after: float = 0.0
    """Seconds after which this process saves and stops, to be resumed later. 0: never."""
    warmup: float = 0.02
    """Fraction of the run over which the learning rate rises."""
    decay: float = 0.6
    """Fraction of the run, at its end, over which the learning rate falls to 0."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer settings."""
    eval_every: int = 0
    """Steps between two evaluations; 0: only at the end."""
    save_every: int = 0
    """Steps between two saves; 0: by time alone."""
    save_seconds: float = 300.0
    """Seconds between two saves; 0: by steps alone."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    seed: int = 1
    """Seed of dropout and whatever else draws numbers inside the model."""
    threads: int = 0
    """CPU threads; 0: torch's choice. Tiny models are fastest on 1: threads wait for each other."""
    keep_state: bool = False
    """Keep the optimizers' state in the final checkpoint too."""


@dataclass
class _Position:
    """Where a run stands; saved as JSON."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    finished: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    module: nn.Module,
    task: Task,
    source: BatchSource,
    config: LoopConfig,
    run: Run,
    resume: bool = False,
) -> dict[str, float]:
    """Train ``module`` and leave the final model in ``run.checkpoint``.

    Args:
        module: holds every parameter that is trained.
        resume: go on from ``run.checkpoint`` when there is one.

    Returns:
        the last evaluation's metrics, and ``steps``, ``tokens``, ``seconds``,
        ``tokens_per_second`` and ``training_loss`` (per target, of the last step).

    Raises:
        ValueError: the loss is not finite, or the saved state does not fit.
        Paused: ``stop_after`` or an interrupt; everything is saved.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads or threads)
    if next(module.parameters()).device.type == "cpu":
        keep_freed_memory()
    try:
        return _Loop(module, task, source, config, run).run(resume)
    finally:
        torch.set_num_threads(threads)


class _Loop:
    def __init__(
        self, module: nn.Module, task: Task, source: BatchSource, config: LoopConfig, run: Run
    ) -> None:
        if config.steps < 1 or config.accumulate < 1:
            raise ValueError(
                f"steps {config.steps} and accumulate {config.accumulate}: at least 1 of each"
            )
        multiplier(0.0, config.warmup, config.decay)  # refuses wrong fractions before the start
        self.module, self.source = module, source
        self.config, self.folder = config, run
        self.workers = Workers(module, task, config.parallel)
        self.share = ShareOfBatches(source, config.accumulate, self.workers.rank, self.workers.size)
        self.optimizers: Optimizers = build_optimizers(module, config.optimizer)
        self.state = RunState(module, task, source, self.optimizers, run, self.workers)
        self.tokens = task.tokens
        self.position = _Position()
        self._before = 0.0

    def run(self, resume: bool) -> dict[str, float]:
        config = self.config
        torch.manual_seed(config.seed)
        if resume and self.folder.resumable:
            self.position = _Position(**self.state.restore())
        if self.position.finished:
            return self.position.metrics
        self.folder.rewind(self.position.step)
        self._before = self.position.seconds
        self._started = self._saved = time.monotonic()
        with self.folder.progress() as progress, interruptible() as stop:
            self._train(progress, stop)
            metrics = self._evaluate(progress)
        position = self.position
        self._clock()
        position.finished = True
        position.metrics |= metrics | {
            "steps": float(position.step),
            "tokens": float(position.tokens),
            "seconds": round(position.seconds, 3),
            "tokens_per_second": position.tokens / max(position.seconds, 1e-9),
        }
        self._save(final=True)
        return position.metrics

    def _train(self, progress: Progress, stop: threading.Event) -> None:
        config, position = self.config, self.position
        logged_tokens, logged_at = position.tokens, time.monotonic()
        rate = 0.0
        while (done := self._progress()) < 1.0:
            scale = multiplier(done, config.warmup, config.decay)
            loss, norm = self._step(done, scale)
            position.metrics["training_loss"] = loss
            self._clock()
            now = time.monotonic()
            if position.step % config.log_every == 0 or self._progress() >= 1.0:
                rate = (position.tokens - logged_tokens) / max(now - logged_at, 1e-9)
                logged_tokens, logged_at = position.tokens, now
                self.folder.log(
                    {
                        "step": position.step,
                        "epoch": self.source.epoch,
                        "loss": loss,
                        "gradient_norm": norm,
                        "learning_rate": scale,
                        "tokens": position.tokens,
                        "seconds": round(position.seconds, 3),
                        "tokens_per_second": round(rate, 1),
                    }
                )
            progress.update(
                self._progress(),
                f"step {position.step}  loss {loss:.3f}  {rate:,.0f} tokens/s",
            )
            ending = self._progress() >= 1.0
            if config.eval_every and position.step % config.eval_every == 0 and not ending:
                started = time.monotonic()
                metrics = self._evaluate(progress)
                progress.say(_line(position.step, metrics))
                logged_at += time.monotonic() - started  # the printed rate is of training alone
            paused = self.workers.any(stop.is_set() or 0 < config.stop_after <= now - self._started)
            if not ending and (paused or self.workers.any(self._save_due())):
                self._save(final=False)
                if paused:
                    raise Paused(self.folder.directory, position.step, stop.is_set())

    def _step(self, done: float, scale: float) -> tuple[float, float]:
        """One optimizer step; returns the loss per target and the gradient's norm."""
        self.module.train()
        total: Tensor | None = None
        targets = tokens = 0
        for number in range(self.share.steps):
            batch, weight = self.share.next()
            last = number == self.share.steps - 1
            summed, count = self.workers.backward(batch, weight, last)
            total = summed if total is None else total + summed
            targets += count
            tokens += self.tokens(batch) if weight else 0
        assert total is not None
        nats, all_targets, all_tokens = self.workers.sum(float(total), targets, tokens)
        self.position.tokens += int(all_tokens)
        if all_targets == 0:
            raise ValueError(
                f"Step {self.position.step + 1} has no targets: every example is masked or empty"
            )
        loss = nats / all_targets
        norm = self.optimizers.clip(self.workers.divisor(all_targets))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise ValueError(
                f"The loss is {loss} and the gradient's norm {norm} at step "
                f"{self.position.step + 1}: lower the learning rates under loop.optimizer, "
                "raise loop.warmup, and look for broken data"
            )
        self.optimizers.schedule(self.position.step, done, scale)
        self.optimizers.step()
        self.position.step += 1
        return loss, norm

    def _progress(self) -> float:
        by_steps = self.position.step / self.config.steps
        if self.config.max_seconds <= 0:
            return by_steps
        return max(by_steps, self.position.seconds / self.config.max_seconds)

    def _clock(self) -> None:
        elapsed = self._before + time.monotonic() - self._started
        self.position.seconds = self.workers.agreed(elapsed)

    @torch.no_grad()
    def _evaluate(self, progress: Progress) -> dict[str, float]:
        self.module.eval()
        metrics, samples = self.workers.evaluate()
        if metrics or samples:
            row: dict[str, Any] = {"step": self.position.step, "evaluation": metrics}
            self.folder.log(row | ({"samples": samples} if samples else {}))
        for beginning, text in samples.items():
            progress.say(f"step {self.position.step}: {sanitize_line(beginning + text, 160)}")
        return metrics

    def _save_due(self) -> bool:
        by_step = self.config.save_every and self.position.step % self.config.save_every == 0
        elapsed = time.monotonic() - self._saved
        return bool(by_step) or 0 < self.config.save_seconds <= elapsed

    def _save(self, final: bool) -> None:
        if final and not self.config.keep_state:
            self.state.save_final(self.position.__dict__)
        else:
            self.state.save(self.position.__dict__)
        self._saved = time.monotonic()


def _line(step: int, metrics: dict[str, float]) -> str:
    return f"step {step}: " + "  ".join(f"{k} {v:.4g}" for k, v in metrics.items())
