"""``training evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.evaluation.report import write_report
from training.run import checkpoint_directory

SPLITS = ("test", "validation", "train", "all")


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1)
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="test",
    show_default=True,
    help="Which part of the data; all: data that no part of was trained on.",
)
@click.option(
    "--normalizer",
    default=None,
    metavar="MODULE:FUNCTION",
    help="Classifiers: from a row to the text that is read. Default: what training used.",
)
@click.option(
    "--dilute",
    type=click.IntRange(1),
    multiple=True,
    metavar="CHARACTERS",
    help="Classifiers: recall when spam is padded with this much good text. May be repeated.",
)
@click.option(
    "--attacks",
    is_flag=True,
    help="Classifiers: recall and false alarms when words are disguised (homoglyphs, leet, ...).",
)
@click.option(
    "--sample", default=50, show_default=True, help="Chat: answers to generate and measure."
)
@click.option(
    "--max-tokens", default=200, show_default=True, help="Chat: longest answer, in tokens."
)
@click.option(
    "--handbook",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Chat: put entries of this handbook before questions (a bundle reads its own).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("runs/evaluation"),
    show_default=True,
    help="Folder for report.json and report.md.",
)
def command(
    model: Path,
    data: tuple[str, ...],
    split: str,
    normalizer: str | None,
    dilute: tuple[int, ...],
    attacks: bool,
    sample: int,
    max_tokens: int,
    handbook: Path | None,
    output: Path,
) -> None:
    """Measure MODEL, a checkpoint, run folder or bundle, on DATA.

    DATA are JSON Lines files or folders; without any, the project's own data.
    """
    report = evaluate(model, data, split, normalizer, sample, max_tokens, dilute, attacks, handbook)
    paths = write_report(output, report)
    for name, value in report["figures"]["all"].items():
        if isinstance(value, int | float):
            click.echo(f"{name}: {value:.6g}")
    for path in paths:
        click.echo(f"report: {path}")


def evaluate(
    model: Path,
    data: tuple[str, ...] = (),
    split: str = "test",
    normalizer: str | None = None,
    sample: int = 50,
    max_tokens: int = 200,
    dilute: tuple[int, ...] = (),
    attacks: bool = False,
    handbook: Path | None = None,
) -> dict[str, Any]:
    """Return the report of a checkpoint or a bundle; its task decides which.

    Raises:
        ValueError: no such checkpoint, or unusable data.
        ModelError: the bundle is damaged.
    """
    from assistant.bundle import load_bundle
    from training.checkpoint import load_checkpoint
    from training.evaluation.chat import is_bundle

    checkpoint = None if is_bundle(model) else load_checkpoint(checkpoint_directory(model))
    described = checkpoint or load_bundle(model)
    task, provenance = described.task, described.provenance
    report: dict[str, Any] = {
        "title": f"Evaluation of {model.resolve().name}",
        "task": task,
        "split": split,
    }
    if task == "classification":
        named = provenance.get("normalizer", "") if normalizer is None else normalizer
        return report | _classification(model, checkpoint, data, split, str(named), dilute, attacks)
    return report | _chat(model, checkpoint, data, split, sample, max_tokens, handbook)


def _classification(
    model: Path,
    checkpoint: Any,
    data: tuple[str, ...],
    split: str,
    normalizer: str,
    dilute: tuple[int, ...],
    attacks: bool,
) -> dict[str, Any]:
    from training.datasets.jsonl import files_sha256
    from training.evaluation.attacks import attack_figures
    from training.evaluation.classification import dilution_figures, evaluate_classifier
    from training.finetuning.labelled_text import TextData, load_texts, resolve_normalizer
    from training.finetuning.scoring import CheckpointClassifier

    if checkpoint is None:
        from assistant.engine.classifier import load_classifier

        classifier: Any = load_classifier(str(model))
        labels = tuple(classifier.bundle.classification["labels"])
    else:
        classifier = CheckpointClassifier(checkpoint, str(model))
        labels = tuple(checkpoint.labels)
    settings = TextData(files=data, labels=labels, normalizer=normalizer)
    texts = [text for text in load_texts(settings) if split in ("all", text.split)]
    report = evaluate_classifier(classifier, texts)
    if dilute and any(text.label for text in texts):
        report["dilution"] = dilution_figures(classifier, texts, dilute)
    if attacks:
        report["attacks"] = attack_figures(classifier, texts, resolve_normalizer(normalizer))
    return report | {"data": files_sha256(settings.paths)}


def _chat(
    model: Path,
    checkpoint: Any,
    data: tuple[str, ...],
    split: str,
    sample: int,
    max_tokens: int,
    handbook: Path | None,
) -> dict[str, Any]:
    from training.datasets.jsonl import files_sha256
    from training.evaluation.chat import by_topic, generation_figures, perplexity
    from training.evaluation.prompts import holds_prompts
    from training.finetuning.conversations import DialogueData, load_dialogues

    settings = DialogueData(files=data)
    if data and all(holds_prompts(path) for path in settings.paths):
        return _prompts(model, checkpoint, settings.paths, max_tokens, handbook)
    dialogues = [d for d in load_dialogues(settings) if split in ("all", d.split)]
    if not dialogues:
        raise ValueError(f"No dialogue in the split {split}")
    figures: dict[str, dict[str, Any]] = {"all": {}}
    answerer, system = _answerer(model, checkpoint, max_tokens, handbook)
    if checkpoint is not None:  # a bundle's graph computes the last position's logits alone
        figures = by_topic(dialogues, lambda some: perplexity(checkpoint, some, system))
    generated = generation_figures(answerer, dialogues, system, sample) if sample else {}
    examples = generated.pop("examples", [])
    figures["all"] = figures["all"] | generated
    return {"figures": figures, "examples": examples, "data": files_sha256(settings.paths)}


def _prompts(
    model: Path, checkpoint: Any, paths: list[Path], max_tokens: int, handbook: Path | None
) -> dict[str, Any]:
    """Answer prompts that have no reference and hold the answers against the contract."""
    from training.datasets.jsonl import files_sha256
    from training.evaluation.prompts import load_prompts, prompt_figures

    prompts = load_prompts(paths)
    answerer, system = _answerer(model, checkpoint, max_tokens, handbook)
    figures, answers = prompt_figures(answerer, prompts, system)
    return {"figures": {"all": figures}, "examples": answers, "data": files_sha256(paths)}


def _answerer(
    model: Path, checkpoint: Any, max_tokens: int, handbook: Path | None
) -> tuple[Any, str]:
    """Return what answers, and the system prompt it was tuned with."""
    from assistant.conversation import DEFAULT_SYSTEM_PROMPT
    from training.evaluation.chat import checkpoint_answerer, model_answerer, reading_answerer
    from training.handbook.build import open_handbook

    if checkpoint is None:
        from assistant.engine.chat_model import load_chat_model

        chat = load_chat_model(str(model))
        system = chat.system_prompt
        answerer = model_answerer(chat, max_tokens)
    else:
        system = str(checkpoint.extra.get("system_prompt", DEFAULT_SYSTEM_PROMPT))
        answerer = checkpoint_answerer(checkpoint, max_tokens)
    if handbook is not None:
        answerer = reading_answerer(answerer, open_handbook(handbook))
    return answerer, system
