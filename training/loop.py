"""The training loop that every stage shares.

A step accumulates the gradient of the *summed* loss over its micro-batches and divides once by
the number of targets in all of them: how a batch is cut into micro-batches cannot change it.
A checkpoint holds the model, the optimizers' averages, the random state and the position in
the data, so a resumed run equals an uninterrupted one bit for bit on CPU.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.checkpoint import Checkpoint, load_state, save_checkpoint
from training.optimizer import OptimizerConfig, Optimizers, build_optimizers
from training.progress import Progress
from training.run import Paused, Run
from training.schedule import multiplier


class BatchSource(Protocol):
    """Deterministic micro-batches, for ever; its position is part of a checkpoint."""

    def next(self) -> Any:
        """Return the next micro-batch, a frozen dataclass of tensors."""

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

    def checkpoint(self) -> Checkpoint:
        """Return what a save writes."""


@dataclass(frozen=True)
class LoopConfig:
    """How long, how fast, how often."""

    steps: int = 1000
    """Optimizer steps of the whole run."""
    accumulate: int = 1
    """Micro-batches in a step."""
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
        self.module, self.task, self.source = module, task, source
        self.config, self.folder = config, run
        self.optimizers: Optimizers = build_optimizers(module, config.optimizer)
        self.position = _Position()
        self._before = 0.0

    def run(self, resume: bool) -> dict[str, float]:
        config = self.config
        torch.manual_seed(config.seed)
        if resume and self.folder.resumable:
            self._restore()
        if self.position.finished:
            return self.position.metrics
        self.folder.rewind(self.position.step)
        self._before = self.position.seconds
        self._started = self._saved = time.monotonic()
        with self.folder.progress() as progress, _interruptible() as stop:
            self._train(progress, stop)
            metrics = self._evaluate()
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
                metrics = self._evaluate()
                progress.say(_line(position.step, metrics))
                logged_at += time.monotonic() - started  # the printed rate is of training alone
            paused = stop.is_set() or 0 < config.stop_after <= now - self._started
            if not ending and (paused or self._save_due()):
                self._save(final=False)
                if paused:
                    raise Paused(self.folder.directory, position.step, stop.is_set())

    def _step(self, done: float, scale: float) -> tuple[float, float]:
        """One optimizer step; returns the loss per target and the gradient's norm."""
        self.module.train()
        total: Tensor | None = None
        targets = 0
        for _ in range(self.config.accumulate):
            batch = self.source.next()
            summed, count = self.task.loss(batch)
            summed.backward()
            total = summed.detach() if total is None else total + summed.detach()
            targets += count
            self.position.tokens += self.task.tokens(batch)
        assert total is not None
        if targets == 0:
            raise ValueError(
                f"Step {self.position.step + 1} has no targets: every example is masked or empty"
            )
        loss = float(total) / targets
        for parameter in self.optimizers.parameters():
            if parameter.grad is not None:
                parameter.grad /= targets
        norm = self.optimizers.clip()
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
        self.position.seconds = self._before + time.monotonic() - self._started

    @torch.no_grad()
    def _evaluate(self) -> dict[str, float]:
        self.module.eval()
        metrics = self.task.evaluate()
        if metrics:
            self.folder.log({"step": self.position.step, "evaluation": metrics})
        return metrics

    def _save_due(self) -> bool:
        by_step = self.config.save_every and self.position.step % self.config.save_every == 0
        elapsed = time.monotonic() - self._saved
        return bool(by_step) or 0 < self.config.save_seconds <= elapsed

    def _save(self, final: bool) -> None:
        tensors: dict[str, Tensor] = {}
        if not final or self.config.keep_state:
            tensors = {f"optimizer.{k}": v for k, v in self.optimizers.state_tensors().items()}
            tensors |= {f"module.{k}": v.cpu() for k, v in self._module_state().items()}
            tensors["random.cpu"] = torch.get_rng_state()
            if torch.cuda.is_available():
                tensors["random.cuda"] = torch.cuda.get_rng_state()
        state = {"position": self.position.__dict__, "source": self.source.state()}
        save_checkpoint(self.folder.checkpoint, self.task.checkpoint(), tensors, state)
        self._saved = time.monotonic()

    def _module_state(self) -> dict[str, Tensor]:
        """Trained parameters and buffers; what is frozen comes from the foundation again."""
        trained = {name for name, p in self.module.named_parameters() if p.requires_grad}
        frozen = {name for name, _ in self.module.named_parameters()} - trained
        state = self.module.state_dict()
        return {k: v.detach().contiguous() for k, v in state.items() if k not in frozen}

    def _restore(self) -> None:
        tensors, state = load_state(self.folder.checkpoint)
        self.position = _Position(**state["position"])
        self.source.load_state(state["source"])
        if self.position.finished:
            return

        def under(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        saved, expected = under("module."), self._module_state()
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in expected.items()}:
            raise ValueError(
                f"{self.folder.checkpoint} holds another model; resume with the settings of "
                "the first start"
            )
        self.module.load_state_dict(saved, strict=False)  # what is frozen is not saved
        self.optimizers.load_state_tensors(under("optimizer."))
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])


def _line(step: int, metrics: dict[str, float]) -> str:
    return f"step {step}: " + "  ".join(f"{k} {v:.4g}" for k, v in metrics.items())


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM let the step end and save it; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        print("stopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
