"""``training plan``: what each preset of pretraining would take on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click
import torch
import torch.nn.functional as F

from assistant.bundle import Architecture
from assistant.text import byte_size
from training.config import load_config, presets
from training.device import autocast, choose_device
from training.memory import Need, fitted, free_bytes, need
from training.model import Transformer, parameter_count
from training.optimizer import build_optimizers
from training.pretraining.config import PretrainConfig
from training.progress import duration

VOCABULARY = {"tiny": 512, "cpu": 4096, "small": 8192}
"""What the presets were made for; 16,384 for the larger ones."""
SHORT = 128
"""Tokens of a measured sequence on a CPU, where the full length would take minutes."""


@dataclass(frozen=True)
class Plan:
    """A preset on this machine.

    Attributes:
        tokens: of the whole run, as far as its steps go.
        tokens_per_second: at the preset's context length.
        batch_size, accumulate: what it would train with here; the same step.
        budget: seconds after which the preset ends, 0: none.
    """

    preset: str
    parameters: int
    need: Need
    largest: int | None
    batch_size: int
    accumulate: int
    tokens: int
    tokens_per_second: float
    budget: float

    @property
    def seconds(self) -> float:
        """How long all steps would take."""
        return self.tokens / self.tokens_per_second


def flops_per_token(a: Architecture, length: int) -> float:
    """Return the operations of a training step for each token, forward and backward.

    Six for each weight of a matrix (the tied embedding counts as the head), and the products of
    attention over half the sequence: https://arxiv.org/abs/2001.08361, appendix B, made causal.
    """
    head = a.heads * a.head_dim
    block = a.width * (2 * head + 2 * a.kv_heads * a.head_dim + 3 * a.feed_forward)
    matrices = a.layers * block + a.vocabulary_size * a.width
    return 6.0 * matrices + 6.0 * a.layers * head * length


def measure(preset: str, config: PretrainConfig, device: torch.device, seconds: float) -> Plan:
    """Train a preset's model on random tokens for some seconds."""
    architecture = config.model.architecture(VOCABULARY.get(preset, 16_384))
    transformer = Transformer(architecture, config.context_length)
    transformer.initialize(config.seed)
    transformer.to(device).train()
    needed = need(transformer, config.context_length, config.loop.optimizer)
    free = free_bytes(device)
    largest = None if free is None else needed.largest(free)
    rows, accumulate = config.batch_size, config.loop.accumulate
    if largest is not None:
        rows, accumulate = fitted(rows, accumulate, largest)
    length = config.context_length
    if device.type == "cpu":
        length, measured = min(length, SHORT), max(1, min(rows, 1024 // min(length, SHORT)))
    else:
        measured = rows
    optimizers = build_optimizers(transformer, config.loop.optimizer)
    ids = torch.randint(3, architecture.vocabulary_size, (measured, length + 1), device=device)
    step_tokens = config.batch_size * config.loop.accumulate * config.context_length
    forward_backward: list[float] = []
    step: list[float] = []
    started = time.monotonic()
    while len(step) < 3 or (time.monotonic() - started < seconds and len(step) < 200):
        at = time.perf_counter()
        with autocast(device):
            logits = transformer(ids[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        _wait(device)
        between = time.perf_counter()
        optimizers.clip()
        optimizers.step()
        _wait(device)
        forward_backward.append(between - at)
        step.append(time.perf_counter() - between)
    # the first step allocates and chooses kernels; then the best of a busy machine
    token = min(forward_backward[1:]) / (measured * length)
    token *= flops_per_token(architecture, config.context_length)
    token /= flops_per_token(architecture, length)
    whole = token * step_tokens + min(step[1:])
    return Plan(
        preset=preset,
        parameters=parameter_count(transformer),
        need=needed,
        largest=largest,
        batch_size=rows,
        accumulate=accumulate,
        tokens=step_tokens * config.loop.steps,
        tokens_per_second=step_tokens / whole,
        budget=config.loop.max_seconds,
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rows_of_table(plans: Sequence[Plan]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and the lines that are printed."""
    columns = [
        "preset",
        "parameters",
        "tokens/s",
        "model + optimizer",
        "a sequence",
        "largest micro-batch",
        "micro-batches a step",
        "all steps",
        "its time budget",
    ]
    lines = []
    for plan in plans:
        budget = "none"
        if plan.budget:
            share = min(plan.budget / plan.seconds, 1.0)
            budget = f"{duration(plan.budget)}: {share:.1%} of the steps"
        lines.append(
            [
                plan.preset,
                f"{plan.parameters / 1e6:.2f} M",
                f"{plan.tokens_per_second:,.0f}",
                byte_size(plan.need.weights + plan.need.training),
                byte_size(plan.need.sequence),
                "unknown" if plan.largest is None else f"{plan.largest:,}",
                f"{plan.accumulate} x {plan.batch_size}",
                duration(plan.seconds),
                budget,
            ]
        )
    return columns, lines


@click.command("plan")
@click.option(
    "--preset",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"May be repeated; default: all of {', '.join(presets('pretrain'))}.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=3.0,
    show_default=True,
    help="How long each is measured; three steps at least.",
)
@click.option("--threads", default=0, help="CPU threads; 0: torch's choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def command(names: tuple[str, ...], seconds: float, threads: int, device: str) -> None:
    """Measure a few steps of each pretraining preset here, and say what a run would take.

    On a CPU sequences of 128 tokens are measured and the rate is converted to the preset's
    length by the operations they need.
    """
    configs = {n: load_config(PretrainConfig, n) for n in names or presets("pretrain")}
    place = choose_device(device)
    before = torch.get_num_threads()
    plans = []
    for name, config in configs.items():
        torch.set_num_threads(threads or config.loop.threads or before)
        click.echo(f"measuring {name} ...", err=True)
        plans.append(measure(name, config, place, seconds))
    torch.set_num_threads(before)
    columns, lines = rows_of_table(plans)
    for line in lines:
        click.echo(f"{columns[0]}: {line[0]}")
        for column, cell in list(zip(columns, line, strict=True))[1:]:
            click.echo(f"  {column}: {cell}")
