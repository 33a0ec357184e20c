"""Messages out of .eml files, mbox files, Maildir folders and standard input, one at a time."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from assistant.plugin_api import BadInputError
from plugins.email_spam.mail import Mail
from plugins.email_spam.reading import MAX_BYTES, read_message

STDIN = "-"
_LINE = 1 << 20  # a longer line is read in pieces
# "From " opens a message only after a blank line and with a time or a year behind the sender:
# mail programs that forget to quote it in a body would split the message otherwise.
_SEPARATOR = re.compile(rb"From \S*.{0,200}(?:\d{1,2}:\d{2}|\b(?:19|20)\d\d\b)")
_QUOTED_FROM = re.compile(rb">+From ")
_HINT = "Give it .eml or mbox files, a Maildir folder, or - for standard input"

OnError = Callable[[str, BadInputError], None]


def iter_mails(
    path: str, stdin: BinaryIO | None = None, on_error: OnError | None = None
) -> Iterator[tuple[str, Mail]]:
    """Yield ``(source, mail)`` for each message of a file, folder or ``-``, lazily.

    Args:
        path: an .eml file, an mbox file, a Maildir, a folder of .eml files, or ``-``.
        stdin: what ``-`` reads.
        on_error: called with source and error for what is no mail; without it the error is
            raised and the iteration ends.

    Raises:
        BadInputError: the path cannot be read, or (without ``on_error``) a message is no mail.
    """
    try:
        for source, raw in iter_raw(path, stdin, on_error):
            try:
                yield source, read_message(raw, source)
            except BadInputError as error:
                _report(source, error, on_error)
    except BadInputError as error:
        _report(path, error, on_error)


def iter_raw(
    path: str, stdin: BinaryIO | None = None, on_error: OnError | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield ``(source, bytes)`` for each message, see ``iter_mails``."""
    if path == STDIN:
        if stdin is None:
            raise BadInputError("There is nothing on standard input", _HINT)
        yield from _split(stdin, "standard input", may_be_mbox=True)
        return
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is not valid"
        raise BadInputError(f"{path} cannot be read ({reason})", _HINT) from error
    if stat.S_ISDIR(mode):
        yield from _folder(Path(path), on_error)
    elif stat.S_ISREG(mode) or stat.S_ISFIFO(mode):  # <(command) in a shell is a FIFO
        with _opened(path) as file:
            yield from _split(file, path, may_be_mbox=not path.lower().endswith(".eml"))
    else:
        raise BadInputError(f"{path} is not a file or folder", _HINT)


def _folder(folder: Path, on_error: OnError | None) -> Iterator[tuple[str, bytes]]:
    boxes = [folder / name for name in ("new", "cur") if (folder / name).is_dir()]
    paths: Iterator[Path]
    if boxes:  # Maildir: https://cr.yp.to/proto/maildir.html; tmp holds unfinished deliveries
        paths = (Path(entry.path) for box in boxes for entry in _entries(box))
    else:
        paths = (Path(e.path) for e in _entries(folder) if e.name.lower().endswith(".eml"))
    found = False
    for path in paths:
        found = True
        try:
            yield str(path), _read_inside(path)
        except BadInputError as error:
            _report(str(path), error, on_error)
    if not found:
        raise BadInputError(f"{folder} holds no messages", _HINT)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise BadInputError(f"{folder} cannot be read ({error.strerror})", _HINT) from error


def _read_inside(path: Path) -> bytes:
    """Read a file of a folder; links and special files are refused, as they may lead anywhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadInputError(f"{path} is not a regular file", "It was left out")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror})", _HINT) from error


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror})", _HINT) from error


def _split(file: BinaryIO, source: str, may_be_mbox: bool) -> Iterator[tuple[str, bytes]]:
    """Yield one message, or the messages of an mbox (RFC 4155) with their ">From " unquoted."""
    first = file.readline(_LINE)
    if not (may_be_mbox and first.startswith(b"From ")):
        rest = file.read(MAX_BYTES + 1 - len(first)) if first else b""
        yield source, first + rest
        return
    lines: list[bytes] = []
    number, size, blank = 1, 0, False
    starts_line = first.endswith(b"\n")
    while line := file.readline(_LINE):
        if starts_line and blank and line.startswith(b"From ") and _SEPARATOR.match(line):
            yield f"{source}#{number}", b"".join(lines)
            number, lines, size = number + 1, [], 0
        elif size <= MAX_BYTES:
            if starts_line and _QUOTED_FROM.match(line):
                line = line[1:]
            lines.append(line)
            size += len(line)
        blank = starts_line and line in {b"\n", b"\r\n"}
        starts_line = line.endswith(b"\n")
    yield f"{source}#{number}", b"".join(lines)


def _report(source: str, error: BadInputError, on_error: OnError | None) -> None:
    if on_error is None:
        raise error
    on_error(source, error)
