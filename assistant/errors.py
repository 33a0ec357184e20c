"""Errors for people and the exit codes of every command.

An error says what happened, where, and what to do about it. Front doors print ``message`` and
``hint``; nobody ever sees a traceback.
"""

from __future__ import annotations

from enum import IntEnum

from assistant.text import sanitize


class ExitCode(IntEnum):
    """Exit codes are an API: scripts depend on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BAD_INPUT = 3
    MODEL = 4
    INTERRUPTED = 130  # 128 + SIGINT, the shells' convention


class AssistantError(Exception):
    """Something a person should read.

    Args:
        message: what happened and where, one line, no trailing full stop needed. Names of files
            and other errors' words stand in it: control characters are taken out.
        hint: what to do about it, one line, or empty.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = sanitize(message)
        self.hint = sanitize(hint)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class BadInputError(AssistantError):
    """The input cannot be used as it is (empty, too long, not a mail, no such file)."""

    exit_code = ExitCode.BAD_INPUT


class TooLongError(BadInputError):
    """A question is longer than the model reads.

    Args:
        tokens: of the prompt that cannot be shortened further without the person's word.
        limit: tokens the model reads, its answer among them.
    """

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"The question has {tokens} tokens, the model reads {limit} with its answer",
            "Shorten it",
        )
        self.tokens, self.limit = tokens, limit


class ModelError(AssistantError):
    """A model bundle is missing, damaged, or newer than this program."""

    exit_code = ExitCode.MODEL


class StorageError(AssistantError):
    """The data directory or the database cannot be used."""


def unexpected(what: str, error: Exception) -> AssistantError:
    """Return the error a person reads for one that nobody foresaw."""
    return AssistantError(
        f"{what} ({type(error).__name__}: {error})", "`assistant doctor` checks the installation"
    )
