"""``training export``: a checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the bundle, e.g. models/support-chat.",
)
@click.option("--name", help="Name of the bundle; the folder's name by default.")
@click.option("--description", default="", help="One sentence for the card and `models list`.")
@click.option(
    "--quantization",
    type=click.Choice(["float32", "int8", "int4"]),
    default="int8",
    show_default=True,
    help="Weights: int8 is safe; int4 is exact for weights imported from Q4_1.",
)
def command(
    checkpoint: Path, output: Path, name: str | None, description: str, quantization: str
) -> None:
    """Write an ONNX bundle from a checkpoint: graph, tokenizer, bundle.json, model card."""
    from typing import cast

    from training.checkpoint import load_checkpoint
    from training.exporting.export import export_bundle
    from training.exporting.quantization import Quantization

    bundle = export_bundle(
        load_checkpoint(checkpoint),
        output,
        name or output.resolve().name,
        description,
        cast(Quantization, quantization),
    )
    click.echo(f"bundle: {output}")
    click.echo(f"megabytes: {bundle.size_bytes / 1e6:.1f}")
    for file in sorted(bundle.files):
        click.echo(f"file: {file} {(bundle.directory / file).stat().st_size}")
