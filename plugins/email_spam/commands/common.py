"""What the commands share."""

from __future__ import annotations

import click

from assistant.plugin_api import AssistantError, sanitize_line


def complain(error: AssistantError) -> None:
    """Print an error as one line on stderr; the batch goes on."""
    click.echo(f"error: {sanitize_line(str(error), 1000)}", err=True)


def table(rows: list[list[str]], header: list[str]) -> str:
    """Return rows as an aligned table; figures (all columns but the first) stand to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
