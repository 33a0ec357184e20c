"""``spam scan``, ``spam undo``, ``spam report``: whole mailboxes."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.plugin_api import AssistantError, BadInputError, ExitCode, sanitize_line
from plugins.email_spam.commands.common import complain, table

if TYPE_CHECKING:
    from sqlite_utils import Database

    from plugins.email_spam.moving import Mover
    from plugins.email_spam.scanning import Message, Scanned

STDIN = "-"
_IMAP = ("imap://", "imaps://")


@click.command()
@click.argument("path", metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values with a header.")
@click.option("--all", "show_all", is_flag=True, help="List good mail too, not only the rest.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Call it spam from this probability on.  [default: the model's]",
)
@click.option("--move-spam", "target", metavar="DIR", help="Move spam into this folder.")
@click.option("--dry-run", is_flag=True, help="With --move-spam: show what it would move.")
@click.option("--yes", is_flag=True, help="With --move-spam: without a dry run before.")
@click.option("--no-progress", is_flag=True, help="No progress on stderr.")
@click.pass_context  # fmt: skip
def scan(
    ctx: click.Context,
    path: str,
    as_json: bool,
    as_csv: bool,
    show_all: bool,
    threshold: float | None,
    target: str | None,
    dry_run: bool,
    yes: bool,
    no_progress: bool,
) -> None:
    """Judge every message of a mailbox: mbox, Maildir, MH, .eml folder, .gz or .zip, or -.

    imap://USER@HOST/FOLDER (or imaps://) reads a folder of your mail server, and changes nothing
    there; it is the one command that uses a network. Results are kept, so a scan that was
    interrupted goes on where it was.

    Exit codes: 0 done, 3 something was no mail (the rest was judged), 4 no model.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if (dry_run or yes) and target is None:
        raise click.UsageError("--dry-run and --yes go with --move-spam")
    from plugins.email_spam.checker import load_checker
    from plugins.email_spam.scan_output import Progress, writer
    from plugins.email_spam.store import open_store

    mover = _mover(path, target) if target is not None else None
    failures: list[str] = []

    def on_error(source: str, error: BadInputError) -> None:
        failures.append(source)
        complain(error)

    progress = Progress(path, quiet=no_progress)
    rows = writer("json" if as_json else "csv" if as_csv else "rows", show_all)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with open_store() as db:
        checker = load_checker()
        limit = checker.classifier.threshold if threshold is None else threshold
        if mover and not dry_run and not yes:
            _require_rehearsal(db, path, mover, checker.classifier.key, limit)
        rows.begin(checker.classifier.name)
        from plugins.email_spam import scanning

        number = scanning.begin(db, _key(path), checker.classifier.key)
        stream = progress.counted(_messages(path, on_error))
        if mover and not dry_run:
            mover.prepare()
        with progress:
            for batch in scanning.scan(stream, checker, db, number, on_error, threshold):
                for found in batch:
                    counts[found.verdict] += 1
                    counts["known"] += found.known
                    progress.clear()
                    rows.row(found)
                    if mover and found.verdict == "spam":
                        _move(db, number, mover, found, dry_run, counts)
                progress.advance(counts)
        scanning.finish(db, number, _key(target or "") if mover and dry_run else None, limit)
    _summary(counts, len(failures), time.monotonic() - started, rows.to_stdout, mover, dry_run)
    if failures or counts["not moved"]:
        ctx.exit(int(ExitCode.BAD_INPUT if failures else ExitCode.FAILED))


def _messages(path: str, on_error: object) -> Iterator[Message]:
    from plugins.email_spam.mailbox import iter_raw
    from plugins.email_spam.scanning import messages

    if path.startswith(_IMAP):
        from plugins.email_spam.imap import imap_messages

        yield from imap_messages(path, on_error)  # type: ignore[arg-type]
        return
    try:
        yield from messages(iter_raw(path, sys.stdin.buffer, on_error))  # type: ignore[arg-type]
    except BadInputError as error:
        on_error(path, error)  # type: ignore[operator]


def _key(path: str) -> bytes:
    return os.fsencode(path if path.startswith((*_IMAP, STDIN)) else os.path.abspath(path))


def _mover(path: str, target: str) -> Mover:
    from plugins.email_spam.moving import Mover

    if path.startswith(_IMAP):
        raise BadInputError("A mail server is only read from: nothing can be moved there")
    return Mover(Path(path), Path(target))


def _require_rehearsal(db: Database, path: str, mover: Mover, model: str, threshold: float) -> None:
    from plugins.email_spam.scanning import rehearsed

    if not rehearsed(db, _key(path), _key(str(mover.target)), model, threshold):
        raise BadInputError(
            f"What would be moved to {mover.target} has not been looked at yet",
            "Run it with --dry-run first, or add --yes",
        )


def _move(
    db: Database, number: int, mover: Mover, found: Scanned, dry_run: bool, counts: Counter[str]
) -> None:
    if dry_run:
        counts["moved"] += 1
        return
    try:
        mover.move(db, number, found.source)
        counts["moved"] += 1
    except AssistantError as error:
        counts["not moved"] += 1
        complain(error)


def _summary(
    counts: Counter[str],
    failures: int,
    seconds: float,
    to_stdout: bool,
    mover: Mover | None,
    dry_run: bool,
) -> None:
    total = counts["spam"] + counts["unsure"] + counts["ham"]
    rows = [[word, f"{counts[word]:,}", f"{counts[word] / max(1, total):.1%}"]
            for word in ("spam", "unsure", "ham")]  # fmt: skip
    rows.append(["together", f"{total:,}", ""])
    lines = ["", table(rows, ["verdict", "mails", "share"]), ""]
    fresh = total - counts["known"]
    lines.append(f"{fresh:,} judged in {seconds:.1f} s ({fresh / max(seconds, 1e-3):.1f} a second)")
    if counts["known"]:
        lines.append(f"{counts['known']:,} were known from a scan before")
    if failures:
        lines.append(f"{failures:,} could not be read, see above")
    if mover:
        word = "would be moved" if dry_run else "moved"
        lines.append(f"{counts['moved']:,} {word} to {sanitize_line(str(mover.target), 400)}")
        if counts["moved"]:
            again = "Run it without --dry-run to move them" if dry_run else (
                "`assistant spam undo` moves them back")  # fmt: skip
            lines.append(again)
    click.echo("\n".join(lines), err=not to_stdout)


@click.command()
@click.argument("number", type=int, required=False)
@click.option("--dry-run", is_flag=True, help="Show what it would move back.")
def undo(number: int | None, dry_run: bool) -> None:
    """Move back what a scan has moved: the last one's, or that of scan NUMBER."""
    from plugins.email_spam.moving import last_scan_with_moves
    from plugins.email_spam.moving import undo as move_back
    from plugins.email_spam.store import open_store, store_exists

    done = problems = 0
    nothing = AssistantError("There is nothing to undo: no scan has moved mail")
    if not store_exists():
        raise nothing
    with open_store() as db:
        chosen = last_scan_with_moves(db) if number is None else number
        moves = [] if chosen is None else move_back(db, chosen, dry_run)
    if not moves:
        raise nothing
    for move in moves:
        if move.problem:
            problems += 1
            complain(AssistantError(f"{move.target}: {move.problem}", f"It was {move.source}"))
        else:
            done += 1
            click.echo(sanitize_line(move.source, 4000))
    word = "would be moved back" if dry_run else "moved back"
    click.echo(f"{done:,} {word}, of scan {chosen}", err=True)
    if problems:
        click.get_current_context().exit(int(ExitCode.FAILED))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--scan", "number", type=int, metavar="NUMBER", help="Of one scan alone.")
@click.option(
    "--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many senders."
)
@click.option("--scans", is_flag=True, help="List the scans instead.")
@click.option("--forget", is_flag=True, help="Delete all results; the journal of moves too.")
@click.pass_context  # fmt: skip
def report(
    ctx: click.Context, as_json: bool, number: int | None, top: int, scans: bool, forget: bool
) -> None:
    """Show what the scans found: counts, senders, and how it went over time."""
    import json

    from plugins.email_spam import reporting
    from plugins.email_spam.store import open_store, store_exists

    if not store_exists():
        raise AssistantError("There is nothing to report yet", "Run: assistant spam scan PATH")
    with open_store() as db:
        if forget:
            click.echo(f"Forgot {reporting.forget(db):,} results", err=True)
            return
        if scans:
            click.echo(reporting.scans_as_text(reporting.scans(db)))
            return
        found = reporting.collect(db, number, top)
    if not found.together:
        raise AssistantError("There is nothing to report yet", "Run: assistant spam scan PATH")
    if as_json:
        click.echo(json.dumps(reporting.as_json(found)))
        return
    width = min(96, max(40, ctx.terminal_width or reporting.terminal_width()))
    click.echo(reporting.as_text(found, width))
