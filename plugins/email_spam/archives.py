"""Compressed mailboxes as streams: .gz, .bz2, .xz, and zip archives of messages.

Only what a person names is decompressed, never an attachment. What expands without measure is
not read to its end.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, cast

from assistant.plugin_api import BadInputError

MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# Mail compresses to a third or a tenth of its size; base64 hardly at all.
LARGEST_RATIO = 200
ALWAYS_READ = 64_000_000  # bytes, whatever the ratio
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError)
_HINT = "What came before it was read"


class Budget:
    """How many bytes may still come out of an archive."""

    def __init__(self, compressed: int) -> None:
        self.left = max(ALWAYS_READ, LARGEST_RATIO * compressed)


class BoundedStream:
    """A binary stream that ends where its data is damaged or its budget is used up.

    ``problem`` then says why, in words for people.
    """

    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        self._stream, self._budget = stream, budget
        self.problem = ""

    def readline(self, size: int = -1, /) -> bytes:
        """Return a line, or what of it fits into ``size`` bytes."""
        return self._taken(lambda: self._stream.readline(size))

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes."""
        return self._taken(lambda: self._stream.read(size))

    def _taken(self, call: object) -> bytes:
        if self.problem:
            return b""
        if self._budget.left <= 0:
            self.problem = f"expands more than {LARGEST_RATIO} times; the rest was not read"
            return b""
        try:
            data: bytes = call()  # type: ignore[operator]
        except _DAMAGE:
            self.problem = "is damaged or ends too early; the rest was not read"
            return b""
        self._budget.left -= len(data)
        return data


def opened(file: BinaryIO, magic: bytes, path: str) -> BoundedStream:
    """Open a compressed file by its first bytes (a key of ``MAGIC``)."""
    stream = cast("IO[bytes]", MAGIC[magic](file, "rb"))
    return BoundedStream(stream, Budget(os.stat(path).st_size))


def zip_members(path: str) -> Iterator[tuple[str, BoundedStream]]:
    """Yield name and stream of each file in a zip archive, in the archive's order.

    Nothing is written anywhere, so names that climb out of a folder lead nowhere.

    Raises:
        BadInputError: it is no zip archive, or damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInputError(f"{path} is no zip archive that can be read", str(error)) from error
    budget = Budget(os.stat(path).st_size)
    with archive:
        for member in archive.infolist():
            name = member.filename
            parts = [part for part in name.split("/") if part not in {".", ".."}]
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            if member.is_dir() or hidden or "tmp" in parts[:-1]:
                continue
            try:
                stream = archive.open(member)
            except (RuntimeError, NotImplementedError, *_DAMAGE):
                broken = BoundedStream(cast("IO[bytes]", None), budget)
                broken.problem = "is encrypted or damaged; it was not read"
                yield name, broken
                continue
            with stream:
                yield name, BoundedStream(stream, budget)


def check_end(stream: object, source: str) -> None:
    """Raise BadInputError when a stream did not end by itself."""
    problem = getattr(stream, "problem", "")
    if problem:
        raise BadInputError(f"{source} {problem}", _HINT)
