"""``training finetune chat`` and ``training finetune classifier``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from training.config import help_text, load_config
from training.finetuning.classifier import finetune_classifier
from training.finetuning.classifier_config import ClassifierConfig
from training.options import config_options
from training.run import Run


@click.group("finetune")
def command() -> None:
    """Fine-tune a foundation model for chat or for classification."""


@command.command("classifier", epilog=help_text(ClassifierConfig))
@click.option(
    "--leave-out",
    default="",
    metavar="SOURCE",
    help="Use this source for testing alone: the honest figure for mail from elsewhere.",
)
@config_options("classifier", "runs/classifier")
def classifier(
    leave_out: str,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
) -> None:
    """Train a text classifier from a checkpoint or from fresh weights."""
    if leave_out:
        overrides = (*overrides, f"data.leave_out={leave_out}")
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
    text = json.dumps(report, indent=2) + "\n"
    (run.directory / "report.json").write_text(text, encoding="utf-8")
    run.summary(summary)
