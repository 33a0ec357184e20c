"""``training pipeline``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from training.config import help_text, load_config
from training.options import config_options
from training.pipeline.config import PipelineConfig
from training.pipeline.stages import Pipeline
from training.pipeline.table import print_table
from training.progress import duration


@click.command("pipeline", epilog=help_text(PipelineConfig))
@config_options("pipeline", "runs/pipeline-tiny", preset="tiny", resume=False)
def command(
    preset: str | None, config_file: Path | None, overrides: tuple[str, ...], output: Path
) -> None:
    """Run every stage on the sample data in the repository; ends with a table of figures.

    An earlier run of this command in the same folder is replaced.
    """
    config = load_config(PipelineConfig, preset, config_file, overrides)
    started = time.monotonic()
    rows = Pipeline(config, output).run()
    print_table(rows)
    print(f"total: {duration(time.monotonic() - started)}, everything is in {output}")
