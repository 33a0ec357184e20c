"""The options that every stage's command shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from training.config import presets

Command = TypeVar("Command", bound=Callable[..., Any])


def parallel_option(command: Command) -> Any:
    """Add ``--parallel``, short for ``--set loop.parallel=...``; it arrives as ``parallel``."""
    return click.option(
        "--parallel",
        type=click.Choice(["ddp", "fsdp"]),
        help="With torchrun: each process holds the whole model (ddp, the default) or its share.",
    )(command)


def with_parallel(overrides: tuple[str, ...], parallel: str | None) -> tuple[str, ...]:
    """Return the overrides with ``--parallel`` among them."""
    return (*overrides, f"loop.parallel={parallel}") if parallel else overrides


def config_options(
    stage: str, output: str, preset: str | None = None, resume: bool = True
) -> Callable[[Command], Any]:
    """Add ``--preset``, ``--config``, ``--set``, ``--output`` and ``--resume`` to a command.

    They arrive as ``preset``, ``config_file``, ``overrides``, ``output`` and ``resume``.

    Args:
        stage: whose presets are offered.
        output: default run folder.
        preset: default preset.
        resume: whether the stage can resume; without it the last option is left out.
    """
    options = [
        click.option(
            "--preset",
            default=preset,
            show_default=preset is not None,
            metavar="NAME",
            help=f"Settings to start from: {', '.join(presets(stage)) or 'none yet'}.",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            metavar="FILE.toml",
            help="Settings over the preset's.",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="One setting over all others; nested keys have dots. May be repeated.",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path),
            default=Path(output),
            show_default=True,
            help="Run folder.",
        ),
    ]
    if resume:
        options.append(
            click.option("--resume", is_flag=True, help="Go on with the run in the run folder.")
        )

    def add(command: Command) -> Any:
        decorated: Any = command
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return add
