"""``training card``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("card")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument(
    "reports", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--samples", default=20, show_default=True, help="Answers to print, unedited.")
def command(bundle: Path, reports: tuple[Path, ...], samples: int) -> None:
    """Put REPORTS (report.json of `training evaluate`) into the model card of BUNDLE."""
    from training.exporting.card import add_evaluation

    add_evaluation(bundle, reports, samples)
    click.echo(f"card: {bundle / 'README.md'}")
