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
@click.option(
    "--format",
    "layout",
    type=click.Choice(["onnx", "hugging-face"]),
    default="onnx",
    show_default=True,
    help="onnx: the assistant's bundle. hugging-face: a folder that transformers loads.",
)
@click.option("--name", help="Name of the bundle; the folder's name by default.")
@click.option("--description", default="", help="One sentence for the card and `models list`.")
@click.option(
    "--quantization",
    type=click.Choice(["float32", "int8", "int4", "int4-symmetric"]),
    default="int8",
    show_default=True,
    help="Weights: int8 is safe; int4 is exact for weights imported from Q4_1, and for adapters "
    "beside them that were not merged (lora.merge = false); int4-symmetric, the smallest and "
    "fastest, is exact for weights trained on its grid (grid.bits = 4).",
)
@click.option(
    "--adapter-rank",
    type=click.IntRange(min=1),
    help="int4 with adapters: rank of those that share a product, together. Without it as much "
    "as costs no time; what truncation loses is printed and recorded.",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON object of measured figures to print in the model card.",
)
@click.option(
    "--handbook",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a handbook (training handbook build) that a chat bundle takes along.",
)
def command(
    checkpoint: Path,
    output: Path,
    layout: str,
    name: str | None,
    description: str,
    quantization: str,
    adapter_rank: int | None,
    metrics: Path | None,
    handbook: Path | None,
) -> None:
    """Write an ONNX bundle from a checkpoint's folder or its run's.

    The bundle: graph, tokenizer, bundle.json, model card.
    """
    import json
    from typing import cast

    from training.checkpoint import load_checkpoint
    from training.exporting.export import export_bundle
    from training.exporting.quantization import Quantization
    from training.run import checkpoint_directory, commit

    loaded = load_checkpoint(checkpoint_directory(checkpoint))
    if layout == "hugging-face":
        from training.exporting.hugging_face import export_hugging_face

        click.echo(f"folder: {export_hugging_face(loaded, output)}")
        return
    if metrics is not None:
        measured = json.loads(metrics.read_text(encoding="utf-8"))
        loaded.extra["metrics"] = loaded.extra.get("metrics", {}) | measured
    loaded.provenance["export"] = {
        "command": f"training export CHECKPOINT --quantization {quantization}"
        + (f" --adapter-rank {adapter_rank}" if adapter_rank else ""),
        "commit": commit() or "unknown",
    }
    bundle = export_bundle(
        loaded,
        output,
        name or output.resolve().name,
        description,
        cast(Quantization, quantization),
        adapter_rank,
    )
    if handbook is not None:
        from training.handbook.attach import attach_handbook

        bundle = attach_handbook(handbook, output)
    click.echo(f"bundle: {output}")
    click.echo(f"megabytes: {bundle.size_bytes / 1e6:.1f}")
    if "adapter_loss" in bundle.graph:
        click.echo(f"adapter_loss: {bundle.graph['adapter_loss']}")
    for file in sorted(bundle.files):
        click.echo(f"file: {file} {(bundle.directory / file).stat().st_size}")
