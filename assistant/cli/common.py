"""What the commands share: streams, tables, the history, and Ctrl-C."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from assistant.text import sanitize, sanitize_line

if TYPE_CHECKING:
    from assistant.history import History

DEFAULT_CHAT_MODEL = "support-chat"
DEFAULT_CLASSIFIER = "email-spam"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
model_option = click.option(
    "--model",
    "model_name",
    metavar="NAME",
    default=DEFAULT_CHAT_MODEL,
    show_default=True,
    help="Name or path of a chat model.",
)


def warn(line: str) -> None:
    """Write one line to stderr."""
    click.echo(f"warning: {sanitize_line(line, 1000)}", err=True)


def note(line: str) -> None:
    """Write one line of lesser weight to stderr."""
    click.echo(f"note: {sanitize_line(line, 1000)}", err=True)


def dump_json(data: Any) -> str:
    """Return readable JSON in which every unsafe character is escaped."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    if sanitize(text) != text:
        text = "".join(c if sanitize(c) == c else json.dumps(c)[1:-1] for c in text)
    return text


def print_json(data: Any) -> None:
    """Print JSON, in ASCII where the output's encoding cannot hold more."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    click.echo(dump_json(data) if encoding == "utf8" else json.dumps(data, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns; every cell becomes one safe line."""
    cells = [[sanitize_line(str(cell), 100) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def open_history() -> History:
    """Open the user's history, with what a dead process left put right.

    Raises:
        StorageError: it cannot be used.
    """
    from assistant.history import History
    from assistant.paths import database_path, ensure_data_directory

    ensure_data_directory()
    history = History(database_path())
    for line in history.warnings:
        warn(line)
    history.warnings.clear()
    history.recover()
    return history
