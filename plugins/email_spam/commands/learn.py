"""``spam mark`` and ``spam tune``: learn from the person's own mail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.plugin_api import (
    AssistantError,
    BadInputError,
    EmbeddingClassifier,
    ExitCode,
    StorageError,
)
from plugins.email_spam.commands.common import complain, table

if TYPE_CHECKING:
    from plugins.email_spam.tuning import Tuning

_THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_LARGEST_HEAD = 5_000_000  # bytes of an imported file


@click.command()
@click.argument("paths", metavar="FILE... spam|ham|forget", nargs=-1)
@click.option(
    "--keep-text/--no-keep-text",
    default=None,
    help="Keep the text too.  [default: as set by `spam settings`, which is no]",
)
@click.option("--counts", is_flag=True, help="Show how many mails are marked.")
@click.option("--forget-all", is_flag=True, help="Forget every mark and everything learnt.")
@click.pass_context
def mark(
    ctx: click.Context,
    paths: tuple[str, ...],
    keep_text: bool | None,
    counts: bool,
    forget_all: bool,
) -> None:
    """Say what a mail is: the last word is spam, ham or forget.

    FILE is an .eml file, a mailbox, a folder, or - for standard input. What is kept is a vector
    of figures that the model computes, not the text.
    """
    from plugins.email_spam.personal import base_classifier

    if counts or forget_all:
        if paths:
            raise click.UsageError("--counts and --forget-all stand alone")
        _counts_or_forget(forget_all)
        return
    if len(paths) < 2 or paths[-1] not in ("spam", "ham", "forget"):
        raise click.UsageError("Name files and what they are: FILE... spam|ham|forget")
    failures = _mark_all(paths[:-1], paths[-1], base_classifier(), keep_text)
    if failures:
        ctx.exit(int(ExitCode.BAD_INPUT))


def _counts_or_forget(forget: bool) -> None:
    from plugins.email_spam.marks import forget_all, mark_counts
    from plugins.email_spam.personal import base_classifier

    if forget:
        click.echo(f"Forgot {forget_all()} marks and what was learnt from them", err=True)
        return
    counts = mark_counts(base_classifier().revision)
    click.echo(f"spam {counts['spam']}\nham {counts['ham']}")
    if counts["stale"]:
        click.echo(f"of another version of the model {counts['stale']}")


def _mark_all(
    paths: tuple[str, ...], word: str, classifier: EmbeddingClassifier, keep_text: bool | None
) -> int:
    from plugins.email_spam.checker import marked_line
    from plugins.email_spam.mailbox import iter_mails
    from plugins.email_spam.marks import mark as mark_mail
    from plugins.email_spam.marks import unmark
    from plugins.email_spam.settings import load_settings

    keep = load_settings().keep_text if keep_text is None else keep_text
    failures = done = 0

    def on_error(source: str, error: BadInputError) -> None:
        nonlocal failures
        failures += 1
        complain(error)

    for path in paths:
        for source, mail in iter_mails(path, sys.stdin.buffer, on_error):
            if word == "forget":
                done += unmark(mail)
                continue
            try:
                mark_mail(mail, word, classifier, keep)  # type: ignore[arg-type]
                done += 1
            except BadInputError as error:
                on_error(source, BadInputError(f"{source}: {error.message}", error.hint))
    if word == "forget":
        click.echo(f"Forgot {done} mark{'s' * (done != 1)}", err=True)
    elif done:
        click.echo(marked_line(word, classifier.revision), err=True)  # type: ignore[arg-type]
    return failures


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what it would do; use nothing.")
@click.option("--force", is_flag=True, help="Use the head even if it is no better.")
@click.option("--undo", is_flag=True, help="Go back to the head before, or to the model alone.")
@click.option("--export", "export_to", metavar="FILE", help="Write the head in use, as JSON.")
@click.option("--import", "import_from", metavar="FILE", help="Use a head from such a file.")
def tune(
    dry_run: bool, force: bool, undo: bool, export_to: str | None, import_from: str | None
) -> None:
    """Learn from the marked mails: fit a small head on top of the model, which stays as it is.

    Needs 20 mails of each kind. Shows by cross-validation on your mail what it changes.
    """
    from plugins.email_spam.personal import base_classifier

    if sum((dry_run, undo, bool(export_to), bool(import_from))) > 1:
        raise click.UsageError("--dry-run, --undo, --export and --import exclude each other")
    classifier = base_classifier()
    if undo:
        _undo(classifier)
    elif export_to:
        _export(classifier, export_to)
    elif import_from:
        _import(classifier, import_from)
    else:
        _tune(classifier, dry_run, force)


def _tune(classifier: EmbeddingClassifier, dry_run: bool, force: bool) -> None:
    from plugins.email_spam.marks import activate, load_marks, mark_counts
    from plugins.email_spam.tuning import tune as fit

    marks = load_marks(classifier)
    stale = mark_counts(classifier.revision)["stale"]
    if stale:
        click.echo(
            f"note: {stale} marks were made with another version of the model, without their "
            "text; they cannot be used",
            err=True,
        )
    found = fit(marks, classifier.revision, (*_THRESHOLDS, round(classifier.threshold, 4)))
    click.echo(_figures(found))
    if dry_run:
        click.echo("Nothing was changed (--dry-run)", err=True)
    elif found.better or force:
        activate(found.head)
        click.echo("In use from now on; `assistant spam tune --undo` goes back", err=True)
    else:
        click.echo("It would be no better, so the head is not used (--force uses it)", err=True)
    if found.suggested is not None and not dry_run:
        click.echo(
            f"From {found.suggested:g} on no good mail would have been caught: "
            f"`assistant spam settings --threshold {found.suggested:g}` sets that",
            err=True,
        )


def _figures(found: Tuning) -> str:
    spam, ham = found.head.spam, found.head.ham
    rows = [
        [
            f"{f.threshold:g}",
            f"{f.found_before}/{spam}",
            f"{f.found_after}/{spam}",
            f"{f.caught_before}/{ham}",
            f"{f.caught_after}/{ham}",
        ]
        for f in found.thresholds
    ]
    header = ["threshold", "spam before", "spam after", "good mail before", "good mail after"]
    return (
        f"{spam} spam and {ham} ham, each judged by a head that had not seen it\n"
        f"AUC   {found.auc_before:.4f} before, {found.auc_after:.4f} after\n"
        f"loss  {found.loss_before:.4f} before, {found.loss_after:.4f} after\n\n"
        + table(rows, header)
    )


def _undo(classifier: EmbeddingClassifier) -> None:
    from plugins.email_spam.marks import active_head, step_back

    if not step_back(classifier.revision):
        raise AssistantError("There is nothing to go back from: the model is in use alone")
    now = active_head(classifier.revision)
    which = f"the head before, of {now.spam} + {now.ham} marks" if now else "the model alone"
    click.echo(f"In use from now on: {which}", err=True)


def _export(classifier: EmbeddingClassifier, path: str) -> None:
    from plugins.email_spam.marks import active_head

    head = active_head(classifier.revision)
    if head is None:
        raise AssistantError("No head is in use", "`assistant spam tune` makes one")
    if path == "-":
        click.echo(head.to_json(), nl=False)
        return
    try:
        Path(path).write_text(head.to_json(), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror})") from error


def _import(classifier: EmbeddingClassifier, path: str) -> None:
    from plugins.email_spam.head import head_from_json
    from plugins.email_spam.marks import activate

    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST_HEAD).decode("utf-8", "replace")
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror})") from error
    head = head_from_json(text)
    if head.revision != classifier.revision or len(head.mean) != classifier.embedding_width:
        raise BadInputError(
            "The head was fitted on another version of the model", "Tune again on this one"
        )
    activate(head)
    click.echo("In use from now on; `assistant spam tune --undo` goes back", err=True)
