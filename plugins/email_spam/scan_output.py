"""What a scan prints: rows for people, JSON or CSV for scripts, and its progress on stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from assistant.plugin_api import BadInputError, sanitize_line

if TYPE_CHECKING:
    from collections import Counter

    from plugins.email_spam.scanning import Message, Scanned

_COLOURS = {"spam": "red", "ham": "green", "unsure": "yellow"}
COLUMNS = ("source", "verdict", "probability", "from", "subject", "date")
_REDRAW = 0.2  # seconds


class Writer(Protocol):
    """Prints judged messages; ``to_stdout`` says whether the summary may follow them there."""

    to_stdout: bool

    def begin(self, model: str) -> None:
        """Print what comes first."""

    def row(self, found: Scanned) -> None:
        """Print one message."""


def writer(style: str, show_all: bool) -> Writer:
    """Return the writer of a style: rows, json or csv."""
    if style == "json":
        return JsonWriter()
    return CsvWriter() if style == "csv" else RowWriter(show_all)


class RowWriter:
    """One aligned line a message, of good mail only if asked for."""

    to_stdout = True

    def __init__(self, show_all: bool) -> None:
        self._show_all = show_all

    def begin(self, model: str) -> None:
        """Nothing comes first."""

    def row(self, found: Scanned) -> None:
        """Print verdict, probability, sender, subject, source."""
        if found.verdict == "ham" and not self._show_all:
            return
        word = click.style(f"{found.verdict:<6}", fg=_COLOURS[found.verdict], bold=True)
        sender = sanitize_line(found.sender, 30) or "(no sender)"
        subject = sanitize_line(found.subject, 40) or "(no subject)"
        source = sanitize_line(found.source, 200)
        line = f"{word} {found.probability:>4.0%}  {sender:<30}  {subject:<40}  {source}".rstrip()
        click.echo(line, color=False if os.environ.get("NO_COLOR") else None)


class JsonWriter:
    """JSON Lines; control characters cannot be in it, non-ASCII is escaped."""

    to_stdout = False

    def begin(self, model: str) -> None:
        """Keep the model's name for the rows."""
        self._model = model

    def row(self, found: Scanned) -> None:
        """Print one object."""
        row = {
            "source": found.source,
            "subject": found.subject,
            "from": found.sender,
            "date": found.sent,
            "verdict": found.verdict,
            "probability": round(found.probability, 6),
            "model": self._model,
            "known": found.known,
        }
        click.echo(json.dumps(row))


class CsvWriter:
    """RFC 4180, a header first; no cell can be taken for a formula by a spreadsheet."""

    to_stdout = False

    def begin(self, model: str) -> None:
        """Print the header."""
        click.echo(_csv_line(COLUMNS))

    def row(self, found: Scanned) -> None:
        """Print one line."""
        cells = (found.source, found.verdict, f"{found.probability:.6f}", found.sender,
                 found.subject, found.sent)  # fmt: skip
        click.echo(_csv_line(cells))


def _csv_line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(_cell(cell) for cell in cells)
    return buffer.getvalue()


def _cell(text: str) -> str:
    """Return a safe cell: spreadsheets run what begins with =, +, - or @ (OWASP CSV injection)."""
    line = sanitize_line(text, 4000)
    return f"'{line}" if line[:1] in {"=", "+", "-", "@"} else line


class Progress:
    """How far a scan is: a line on stderr, if that is a terminal.

    The share done is that of files in a folder, of bytes in a file; a stream has none, and so no
    estimate of the time left.
    """

    def __init__(self, path: str, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._files, self._bytes = _size_of(path) if self._shown else (0, 0)
        self._done = self._done_bytes = 0
        self._started = self._drawn = time.monotonic()
        self._on_screen = False

    def counted(self, stream: Iterable[Message]) -> Iterator[Message]:
        """Pass messages through and count them."""
        for message in stream:
            self._done += 1
            if self._bytes:
                self._done_bytes += len(message.load())
            yield message

    def advance(self, counts: Counter[str]) -> None:
        """Draw the line anew, at most five times a second."""
        moment = time.monotonic()
        if not self._shown or moment - self._drawn < _REDRAW:
            return
        self._drawn = moment
        total = counts["spam"] + counts["unsure"] + counts["ham"]
        elapsed = moment - self._started
        rate = total / max(elapsed, 1e-3)
        digits = 0 if rate >= 10 else 1
        line = f"{total:,} mails, {counts['spam']:,} spam, {rate:.{digits}f} a second"
        share = self._share()
        if 0 < share <= 1:
            left = elapsed * (1 - share) / share
            line = f"{share:>4.0%}  {line}, {clock(left)} left"
        self.clear()
        click.echo(line, nl=False, err=True)
        self._on_screen = True

    def clear(self) -> None:
        """Take the line away, for output to come."""
        if self._on_screen:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._on_screen = False

    def __enter__(self) -> Progress:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave a clean line."""
        self.clear()

    def _share(self) -> float:
        if self._files:
            return self._done / self._files
        return self._done_bytes / self._bytes if self._bytes else 0.0


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _size_of(path: str) -> tuple[int, int]:
    """Return the number of files of a folder, or the bytes of an uncompressed file."""
    from plugins.email_spam.archives import MAGIC, ZIP_MAGIC
    from plugins.email_spam.mailbox import message_paths

    try:
        if os.path.isdir(path):
            return sum(1 for _ in message_paths(Path(path))), 0
        if os.path.isfile(path):
            with open(path, "rb") as file:
                compressed = file.read(6).startswith((*MAGIC, *ZIP_MAGIC))
            return 0, 0 if compressed else os.path.getsize(path)
    except (OSError, BadInputError):
        return 0, 0
    return 0, 0
