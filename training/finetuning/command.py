"""``training finetune chat``, ``training finetune classifier``, ``training finetune encoder``."""

from __future__ import annotations

from pathlib import Path

import click

from training.config import help_text, load_config
from training.evaluation.report import write_report
from training.finetuning.chat import ChatConfig, finetune_chat
from training.finetuning.classifier import finetune_classifier
from training.finetuning.classifier_config import ClassifierConfig
from training.finetuning.classifier_report import readable
from training.finetuning.encoder import EncoderConfig, finetune_encoder
from training.options import config_options, parallel_option, with_parallel
from training.run import Run
from training.world import primary


@click.group("finetune")
def command() -> None:
    """Fine-tune a foundation model for chat, for classification or for finding entries."""


@command.command("classifier", epilog=help_text(ClassifierConfig))
@click.option(
    "--leave-out",
    default="",
    metavar="SOURCE",
    help="Use this source for testing alone: the honest figure for mail from elsewhere.",
)
@parallel_option
@config_options("classifier", "runs/classifier")
def classifier(
    leave_out: str,
    parallel: str | None,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
) -> None:
    """Train a text classifier from a checkpoint or from fresh weights."""
    if leave_out:
        overrides = (*overrides, f"data.leave_out={leave_out}")
    overrides = with_parallel(overrides, parallel)
    config = load_config(ClassifierConfig, preset, config_file, overrides)
    run = Run.create(output, ClassifierConfig.stage, config, resume=resume)
    _, report = finetune_classifier(config, run, resume)
    summary: dict[str, object] = {"checkpoint": str(run.checkpoint)}
    summary |= report["training"]
    decision = report["decision"]
    summary |= {key: decision[key] for key in ("threshold", "unsure")}
    for name in ("validation", "test", "left out"):
        for key, value in report.get(name, {}).get("all", {}).items():
            summary[f"{name} {key}"] = value
    if primary():
        write_report(run.directory, report, readable(report))
    run.summary(summary, report=False)


@command.command("chat", epilog=help_text(ChatConfig))
@parallel_option
@config_options("chat", "runs/chat")
def chat(
    parallel: str | None,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
) -> None:
    """Train a foundation model to answer, on dialogues."""
    overrides = with_parallel(overrides, parallel)
    config = load_config(ChatConfig, preset, config_file, overrides)
    run = Run.create(output, ChatConfig.stage, config, resume=resume)
    checkpoint = finetune_chat(config, run, resume)
    run.summary({"checkpoint": str(run.checkpoint)} | checkpoint.extra["metrics"])


@command.command("encoder", epilog=help_text(EncoderConfig))
@config_options("encoder", "runs/encoder")
def encoder(
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
) -> None:
    """Train a sentence encoder to find handbook entries by what a question means."""
    config = load_config(EncoderConfig, preset, config_file, overrides)
    run = Run.create(output, EncoderConfig.stage, config, resume=resume)
    checkpoint = finetune_encoder(config, run, resume)
    run.summary({"checkpoint": str(run.checkpoint)} | checkpoint.extra["metrics"])
