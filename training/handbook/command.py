"""``training handbook``: build one, measure it, put it into a bundle."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("handbook")
def command() -> None:
    """Make the handbook of a chat bundle: written answers that are found before a question."""


@command.command("build")
@click.argument("encoder", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("runs/handbook"),
    show_default=True,
    help="Folder of the handbook.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="Dialogues (JSON Lines) instead of the written ones; may be repeated.",
)
@click.option("--entries", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--threshold",
    type=click.FloatRange(-1, 1),
    default=0.5,
    show_default=True,
    help="Least score (cosine) of an entry that is shown to the model.",
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    default=0.06,
    show_default=True,
    help="How far below the best entry's score a further one may lie.",
)
def build(
    encoder: Path,
    output: Path,
    data: tuple[str, ...],
    entries: int,
    threshold: float,
    margin: float,
) -> None:
    """Write a handbook folder from the training dialogues with ENCODER.

    ENCODER is the checkpoint or the run of `training finetune encoder`, or the checkpoint of
    `training import --model minilm`. It may also be a handbook folder or a chat bundle: then only
    the entries are new; its encoder, its judge and its settings stay as they are.
    """
    from assistant.handbook.search import HandbookSettings
    from training.checkpoint import load_checkpoint
    from training.datasets.jsonl import files_sha256
    from training.finetuning.conversations import DialogueData, load_dialogues
    from training.handbook.build import build_handbook, has_handbook, renew_handbook
    from training.handbook.entries import handbook_entries
    from training.run import checkpoint_directory, commit

    chosen = DialogueData(files=data)
    found = handbook_entries(load_dialogues(chosen))
    provenance = {"data": files_sha256(chosen.paths), "commit": commit() or "unknown"}
    if has_handbook(encoder):
        handbook = renew_handbook(encoder, found, output, provenance)
    else:
        checkpoint = load_checkpoint(checkpoint_directory(encoder))
        settings = HandbookSettings(threshold, margin, entries)
        provenance["encoder"] = checkpoint.provenance
        handbook = build_handbook(checkpoint, found, output, settings, provenance)
    click.echo(f"handbook: {output}")
    click.echo(f"entries: {len(handbook.entries)}")
    click.echo(f"phrasings: {len(handbook.vectors_PE)}")
    for file in sorted(output.iterdir()):
        click.echo(f"file: {file.name} {file.stat().st_size}")


@command.command("judge")
@click.argument("handbook", type=click.Path(path_type=Path))
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="Dialogues (JSON Lines) instead of the written ones; may be repeated.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def judge(handbook: Path, data: tuple[str, ...], seed: int) -> None:
    """Add to the folder HANDBOOK what judges which sentences of a person's notes answer.

    Takes minutes: each question of the dialogues with notes is looked for in its notes.
    """
    from training.datasets.jsonl import files_sha256
    from training.finetuning.conversations import DialogueData, load_dialogues
    from training.handbook.judge import add_judge
    from training.run import commit

    chosen = DialogueData(files=data)
    provenance = {"data": files_sha256(chosen.paths), "commit": commit() or "unknown"}
    report = add_judge(handbook, load_dialogues(chosen), provenance, seed)
    click.echo(f"handbook: {handbook}")
    for name, figures in report.items():
        told = ", ".join(f"{figure} {value:.4g}" for figure, value in figures.items())
        click.echo(f"{name}: {told}")


@command.command("attach")
@click.argument("handbook", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
def attach(handbook: Path, bundle: Path) -> None:
    """Put the folder HANDBOOK into BUNDLE, e.g. models/support-chat; its weights stay as they are.

    A handbook that BUNDLE has already is replaced.
    """
    from training.handbook.attach import attach_handbook

    changed = attach_handbook(handbook, bundle)
    click.echo(f"bundle: {bundle}")
    click.echo(f"megabytes: {changed.size_bytes / 1e6:.1f}")
    click.echo(f"entries: {changed.handbook['entry_count']}")
