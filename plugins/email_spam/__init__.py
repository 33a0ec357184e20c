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
    load_classifier,
)

if TYPE_CHECKING:
    import threading

    import click

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
    """``/spam FILE``."""
    return [SlashCommand("spam", "Check a saved message: /spam FILE", _check_file)]


def _matches(text: str) -> float:
    from plugins.email_spam.detector import email_confidence

    return email_confidence(text)


def _analyze(text: str, progress: Callable[[float], None], cancel: threading.Event) -> Report:
    from plugins.email_spam.checking import MODEL, check
    from plugins.email_spam.reading import read_pasted

    mail = read_pasted(text)
    progress(0.1)
    classifier = load_classifier(MODEL)
    progress(0.3)
    report = check(mail, classifier, explain=not cancel.is_set())
    progress(1.0)
    return report


def _check_file(arguments: str) -> Report:
    from pathlib import Path

    from plugins.email_spam.checking import MODEL, check
    from plugins.email_spam.mailbox import iter_mails

    name = arguments.strip().strip("\"'")
    if not name:
        raise BadInputError("/spam needs a file", "For example: /spam ~/Downloads/message.eml")
    path = str(Path(name).expanduser())
    mails = iter_mails(path)
    first = next(mails, None)
    if first is None:
        raise BadInputError(f"{path} holds no messages", "Give it a message saved as .eml")
    if next(mails, None) is not None:
        raise BadInputError(
            f"{path} holds more than one message", f"Run: assistant spam check {path}"
        )
    return check(first[1], load_classifier(MODEL))
