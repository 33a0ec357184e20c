"""What the pipeline tells at its end: a table in the terminal, and a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluation.report import write_report
from training.plots import curves, loss_png
from training.run import Run

FOLDERS = {
    "tokenizer": "tokenizer",
    "prepare": "data",
    "pretrain": "pretrain",
    "finetune chat": "chat",
    "finetune classifier": "classifier",
    "evaluate": "evaluation/chat",
}
"""Folders of the stages that have a report of their own."""


@dataclass(frozen=True)
class Row:
    """A line of the closing table."""

    stage: str
    what: str
    figure: str
    seconds: float


def print_table(rows: list[Row]) -> None:
    """Print the closing table to stdout; text from models is never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("stage", "what", "figure"):
        table.add_column(name, overflow="fold")
    table.add_column("seconds", justify="right")
    for row in rows:
        if row.stage:
            table.add_section()
        seconds = f"{row.seconds:.1f}" if row.stage else ""
        table.add_row(*map(Text, (row.stage, row.what, row.figure, seconds)))
    Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table)


def write_pipeline_report(output: Path, rows: Sequence[Row]) -> None:
    """Write report.html and report.md: a section a stage, with its curves and a link to its own."""
    report: dict[str, Any] = {"title": "Pipeline"}
    stage = ""
    for row in rows:
        stage = row.stage or stage
        shown = {"seconds": f"{row.seconds:.1f}"} if row.stage else {}
        report.setdefault(stage, {}).update({row.what: row.figure} | shown)
    pictures, links = {}, {}
    for name, folder in FOLDERS.items():
        drawn = curves(Run(output / folder, name).metrics())
        if drawn:
            pictures[name] = loss_png(drawn)
        if (output / folder / "report.html").exists():
            links[name] = f"{folder}/report.html"
    write_report(output, report, pictures=pictures, links=links)
