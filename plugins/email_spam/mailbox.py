"""Messages out of .eml and mbox files, Maildir and MH folders, archives and standard input.

One at a time: a mailbox may be larger than the memory.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from assistant.plugin_api import BadInputError
from plugins.email_spam.archives import (
    MAGIC,
    ZIP_MAGIC,
    BoundedStream,
    check_end,
    opened,
    zip_members,
)
from plugins.email_spam.mail import Mail
from plugins.email_spam.reading import MAX_BYTES, read_message

STDIN = "-"
_LINE = 1 << 20  # a longer line is read in pieces
# "From " opens a message only after a blank line and with a time or a year behind the sender:
# mail programs that forget to quote it in a body would split the message otherwise.
_SEPARATOR = re.compile(rb"From \S*.{0,200}(?:\d{1,2}:\d{2}|\b(?:19|20)\d\d\b)")
_QUOTED_FROM = re.compile(rb">+From ")
_HINT = "Give it .eml or mbox files, a Maildir or MH folder, or - for standard input"

OnError = Callable[[str, BadInputError], None]


class _Lines(Protocol):
    """What splitting a mailbox needs of a stream."""

    def readline(self, size: int = -1, /) -> bytes: ...

    def read(self, size: int = -1, /) -> bytes: ...


def iter_mails(
    path: str, stdin: BinaryIO | None = None, on_error: OnError | None = None
) -> Iterator[tuple[str, Mail]]:
    """Yield ``(source, mail)`` for each message of a file, folder or ``-``, lazily.

    Args:
        path: an .eml or mbox file (also as .gz, .bz2, .xz), a zip archive of such, a Maildir, an
            MH folder, a folder of .eml files, or ``-``.
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
        yield from _file(path, on_error)
    else:
        raise BadInputError(f"{path} is not a file or folder", _HINT)


def _file(path: str, on_error: OnError | None) -> Iterator[tuple[str, bytes]]:
    with _opened(path) as file:
        start = file.peek(6) if hasattr(file, "peek") else b""
        if start.startswith(ZIP_MAGIC):
            for name, member in zip_members(path):
                yield from _checked(member, f"{path}/{name}", on_error)
            return
        magic = next((known for known in MAGIC if start.startswith(known)), None)
        if magic is not None:
            yield from _checked(opened(file, magic, path), path, on_error)
            return
        yield from _split(file, path, may_be_mbox=not path.lower().endswith(".eml"))


def _checked(
    stream: BoundedStream, source: str, on_error: OnError | None
) -> Iterator[tuple[str, bytes]]:
    """Split a decompressed stream; say when it ended before its time."""
    for named, raw in _split(stream, source, may_be_mbox=not source.lower().endswith(".eml")):
        if raw or not stream.problem:
            yield named, raw
    try:
        check_end(stream, source)
    except BadInputError as error:
        _report(source, error, on_error)


def _folder(folder: Path, on_error: OnError | None) -> Iterator[tuple[str, bytes]]:
    found = False
    for path in message_paths(folder):
        found = True
        try:
            yield str(path), _read_inside(path)
        except BadInputError as error:
            _report(str(path), error, on_error)
    if not found:
        raise BadInputError(f"{folder} holds no messages", _HINT)


def message_paths(folder: Path) -> Iterator[Path]:
    """Yield the messages' files of a Maildir, an MH folder or a folder of .eml files.

    Maildir: https://cr.yp.to/proto/maildir.html; its tmp holds unfinished deliveries. In an MH
    folder messages are files named by numbers (mh-mail(5)).
    """
    boxes = maildir_boxes(folder)
    for box in boxes or [folder]:
        for name in _names(box):
            if boxes or name.lower().endswith(".eml") or (name.isascii() and name.isdigit()):
                yield box / name


def maildir_boxes(folder: Path) -> list[Path]:
    """Return new and cur of a Maildir, nothing for any other folder."""
    return [folder / name for name in ("new", "cur") if (folder / name).is_dir()]


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted, numbers by their value; names alone, for memory."""
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise BadInputError(f"{folder} cannot be read ({error.strerror})", _HINT) from error
    return sorted(names, key=lambda n: (len(n) if n.isdigit() else 0, n))


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


def _split(file: _Lines, source: str, may_be_mbox: bool) -> Iterator[tuple[str, bytes]]:
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
