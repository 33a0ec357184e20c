"""``training pretrain``."""

from __future__ import annotations

from pathlib import Path

import click

from training.config import help_text, load_config
from training.options import config_options, parallel_option, with_parallel
from training.pretraining.config import PretrainConfig
from training.pretraining.train import pretrain
from training.run import Run


@click.command("pretrain", epilog=help_text(PretrainConfig))
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Folder that training prepare wrote; the same as --set data=FOLDER.",
)
@parallel_option
@config_options("pretrain", "runs/pretrain", preset="cpu")
def command(
    data: Path | None,
    parallel: str | None,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
) -> None:
    """Train a foundation model on prepared data; ends with bits per byte and samples.

    On several processes, GPUs or hosts: torchrun --nproc-per-node N -m training pretrain ...
    """
    given = with_parallel(overrides, parallel)
    given = (*given, f"data={data}") if data is not None else given
    config = load_config(PretrainConfig, preset, config_file, given)
    pretrain(config, Run.create(output, "pretrain", config, resume=resume), resume)
