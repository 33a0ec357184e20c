"""The spam checker: reads a mail, says spam, ham or unsure, how sure, and why.

This module holds the hooks alone; what they need is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from assistant.plugin_api import (
    Analyzer,
    BadInputError,
    Detector,
    Report,
    SlashCommand,
    hookimpl,
)

if TYPE_CHECKING:
    import threading

    import click

    from plugins.email_spam.mail import Mail

ANALYZER = "email_spam.check"


@hookimpl
def register_commands() -> Sequence[click.Command]:
    """``assistant spam``."""
    from plugins.email_spam.commands import spam

    return [spam]


@hookimpl
def register_detectors() -> Sequence[Detector]:
    """Pasted mail."""
    return [Detector("email_spam.email", "e-mail", ANALYZER, _matches)]


@hookimpl
def register_analyzers() -> Sequence[Analyzer]:
    """The check of pasted mail."""
    return [Analyzer(ANALYZER, "Check for spam", _analyze)]


@hookimpl
def register_slash_commands() -> Sequence[SlashCommand]:
    """``/spam FILE``, or ``/spam`` for the clipboard."""
    usage = "Check a saved message (/spam FILE) or the clipboard (/spam)"
    return [SlashCommand("spam", usage, _check_file)]


def _matches(text: str) -> float:
    from plugins.email_spam.detector import email_confidence

    return email_confidence(text)


def _analyze(text: str, progress: Callable[[float], None], cancel: threading.Event) -> Report:
    from plugins.email_spam.checker import load_checker
    from plugins.email_spam.reading import read_pasted

    mail = read_pasted(text)
    progress(0.1)
    checker = load_checker()
    progress(0.3)
    report = checker.check(mail, explain=not cancel.is_set())
    progress(1.0)
    return report


def _check_file(arguments: str) -> Report:
    from plugins.email_spam.checker import load_checker

    return load_checker().check(_one_mail(arguments.strip().strip("\"'")))


def _one_mail(name: str) -> Mail:
    """Read the file of that name, without one the clipboard."""
    from pathlib import Path

    from plugins.email_spam.mailbox import iter_mails

    if not name:
        from plugins.email_spam.clipboard import read_clipboard
        from plugins.email_spam.reading import read_pasted

        return read_pasted(read_clipboard(), "the clipboard")
    path = str(Path(name).expanduser())
    mails = iter_mails(path)
    first = next(mails, None)
    if first is None:
        raise BadInputError(f"{path} holds no messages", "Give it a message saved as .eml")
    if next(mails, None) is not None:
        raise BadInputError(
            f"{path} holds more than one message", f"Run: assistant spam scan {path}"
        )
    return first[1]
