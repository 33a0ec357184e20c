"""``spam check`` and ``spam filter``: judge messages, and tag them on delivery."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import click

from assistant.plugin_api import AssistantError, BadInputError, ExitCode
from plugins.email_spam.commands.common import complain

if TYPE_CHECKING:
    from plugins.email_spam.checker import Checker
    from plugins.email_spam.mail import Mail

EXIT_SPAM = 10
EXIT_UNSURE = 11


@click.command()
@click.argument("paths", metavar="[FILE]...", nargs=-1)
@click.option("--json", "as_json_lines", is_flag=True, help="One JSON object a message.")
@click.option("--quiet", is_flag=True, help="Verdict, probability and source, tabs between.")
@click.option(
    "--explain/--no-explain",
    default=None,
    help="Say what moved the model.  [default: for a single message]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Call it spam from this probability on.  [default: the model's]",
)
@click.option(
    "--exit-code", is_flag=True, help="With one message: exit with 10 for spam, 11 for unsure."
)
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[str, ...],
    as_json_lines: bool,
    quiet: bool,
    explain: bool | None,
    threshold: float | None,
    exit_code: bool,
) -> None:
    """Check messages: .eml and mbox files, Maildir folders, or - for standard input.

    Exit codes: 0 done, 3 something was no mail (the rest was checked), 4 no model.
    """
    if as_json_lines and quiet:
        raise click.UsageError("--json and --quiet exclude each other")
    stdin = sys.stdin.buffer
    if not paths:
        if stdin.isatty():
            raise click.UsageError("Name a file, or pipe a message in")
        paths = ("-",)
    failures: list[str] = []

    def on_error(source: str, error: BadInputError) -> None:
        failures.append(source)
        complain(error)

    mails = _mails(paths, stdin, on_error)
    first = list(_take(mails, 2))
    if first:
        from plugins.email_spam.checker import load_checker

        single = len(first) == 1
        checker = load_checker()
        style = "json" if as_json_lines else "quiet" if quiet else "card" if single else "row"
        explained = (single and not quiet) if explain is None else explain
        verdict = ""
        for source, mail in chain(first, mails):
            verdict = _check_one(source, mail, checker, explained, threshold, style)
        if exit_code and single and not failures and verdict != "ham":
            ctx.exit(EXIT_SPAM if verdict == "spam" else EXIT_UNSURE)
    if failures:
        ctx.exit(int(ExitCode.BAD_INPUT))


@click.command("filter")
def filter_() -> None:
    """Add an X-Frontdesk-Spam header to the message on standard input.

    For procmail, maildrop and sieve pipes. Whatever goes wrong, the message comes out
    unchanged, one line on stderr says why, and the exit code is 0.
    """
    raw = sys.stdin.buffer.read()
    output = raw
    try:
        from plugins.email_spam.checker import load_checker
        from plugins.email_spam.filtering import filtered

        checker = load_checker()
        output = filtered(raw, checker.classifier, checker.rules)
    except AssistantError as error:
        complain(error)
    except Exception as error:
        # Mail must never be lost, whatever is wrong with it or with us.
        complain(AssistantError(f"The message was not checked ({type(error).__name__})"))
    stdout = sys.stdout.buffer
    stdout.write(output)
    stdout.flush()


def _mails(paths: tuple[str, ...], stdin: BinaryIO, on_error: object) -> Iterator[tuple[str, Mail]]:
    from plugins.email_spam.mailbox import iter_mails

    for path in paths:
        yield from iter_mails(path, stdin, on_error)  # type: ignore[arg-type]


def _take(mails: Iterator[tuple[str, Mail]], count: int) -> Iterator[tuple[str, Mail]]:
    for _ in range(count):
        item = next(mails, None)
        if item is None:
            return
        yield item


def _check_one(
    source: str,
    mail: Mail,
    checker: Checker,
    explain: bool,
    threshold: float | None,
    style: str,
) -> str:
    from plugins.email_spam import rendering

    started = time.perf_counter()
    report = checker.check(mail, explain, threshold)
    milliseconds = (time.perf_counter() - started) * 1000
    if style == "json":
        line = rendering.as_json(source, mail, report, checker.classifier.name, milliseconds)
    elif style == "quiet":
        line = rendering.as_quiet_row(source, report)
    elif style == "row":
        line = rendering.as_row(source, mail, report)
    else:
        line = rendering.as_card(source, report)
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)
    return report.verdict
