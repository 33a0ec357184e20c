"""``training tokenizer``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import click

from assistant.bundle import file_sha256
from assistant.tokenizer import Tokenizer
from training.config import help_text, load_config
from training.data.broken import Broken
from training.data.sources import documents, find_files
from training.options import config_options
from training.run import Run
from training.tokenizer.train import PATTERN, save_tokenizer, train_tokenizer


@dataclass(frozen=True)
class TokenizerConfig:
    """Settings of the tokenizer."""

    stage: ClassVar[str] = "tokenizer"
    vocabulary_size: int = 8192
    """Ids, special tokens and the 256 bytes included."""
    pattern: str = PATTERN
    """Regular expression that splits text before the merges."""
    max_bytes: int = 200_000_000
    """UTF-8 bytes of text to learn from; the rest of the files is left out."""
    max_broken: int = 100
    """Broken lines that are skipped before it becomes an error."""


def learn_tokenizer(inputs: Sequence[Path], config: TokenizerConfig, run: Run) -> Tokenizer:
    """Train a tokenizer on files and folders and save it in the run folder.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
        ValueError: the vocabulary is too small.
    """
    files = find_files(inputs)
    run.data({str(path): file_sha256(path) for path in files})
    broken = Broken(config.max_broken)
    used = 0
    with run.progress("tokenizer") as progress:

        def texts() -> Iterator[str]:
            nonlocal used
            for document in documents(files, broken, progress):
                used += len(document.text.encode("utf-8", "replace"))
                yield document.text
                if used >= config.max_bytes:
                    return

        tokenizer = train_tokenizer(texts(), config.vocabulary_size, config.pattern)
    save_tokenizer(run.directory, tokenizer)
    summary: dict[str, Any] = {
        "tokenizer": str(run.directory),
        "vocabulary_size": tokenizer.vocabulary_size,
        "bytes": used,
        "broken_lines": broken.count,
    }
    run.summary(summary)
    return tokenizer


@click.command("tokenizer", epilog=help_text(TokenizerConfig))
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@config_options("tokenizer", "runs/tokenizer", resume=False)
def command(
    texts: tuple[Path, ...],
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    output: Path,
) -> None:
    """Train a byte-level BPE tokenizer on TEXTS: files or folders, read as by prepare."""
    config = load_config(TokenizerConfig, preset, config_file, overrides)
    learn_tokenizer(texts, config, Run.create(output, "tokenizer", config))
