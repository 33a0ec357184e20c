"""``training prepare``."""

from __future__ import annotations

from pathlib import Path

import click

from training.config import help_text, load_config
from training.data.prepare import PrepareConfig, prepare
from training.data.shards import MANIFEST
from training.options import config_options
from training.run import CONFIG, Run
from training.tokenizer.train import load_tokenizer


@click.command("prepare", epilog=help_text(PrepareConfig))
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, path_type=Path),
    default=Path("runs/tokenizer"),
    show_default=True,
    help="Folder of a tokenizer, or a checkpoint whose tokenizer is used.",
)
@config_options("prepare", "runs/data", resume=False)
def command(
    texts: tuple[Path, ...],
    tokenizer: Path,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
) -> None:
    """Tokenize TEXTS, files or folders, into shards.

    Read are .txt, .md, .jsonl, .json, .csv, .tsv, .mbox, .eml (also with .xz, .gz, .zst behind)
    and Maildir folders. A JSON row holds "text", a chat's "messages", an instruction and its
    output, or a mail's "body". Copies and near-copies are left out; a share of the documents is
    held out for validation. A run that was interrupted goes on when it is started again.
    """
    config = load_config(PrepareConfig, preset, config_file, overrides)
    loaded = load_tokenizer(tokenizer)
    if not (output / MANIFEST).exists():
        (output / CONFIG).unlink(missing_ok=True)  # an earlier try that was not completed
    prepare(texts, loaded, config, Run.create(output, "prepare", config))
