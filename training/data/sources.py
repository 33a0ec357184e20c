"""Reading documents from files and folders, plain or compressed, one at a time.

Text and Markdown, JSON Lines, JSON arrays, CSV and TSV, mbox files, .eml files and Maildir
folders, each also with .xz, .gz or .zst behind. Everything streams: memory holds one document,
however large the files are.
"""

from __future__ import annotations

import difflib
import gzip
import lzma
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from assistant.errors import BadInputError
from training.data.broken import Broken
from training.progress import Progress

Kind = Literal["text", "markdown", "lines", "json", "table", "mail"]
KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".csv": "table",
    ".tsv": "table",
    ".eml": "mail",
    ".mbox": "mail",
}
COMPRESSED = (".xz", ".gz", ".zst")
LONGEST_TEXT = 2**20
"""Bytes of a text document; a longer file becomes several, cut at the end of a line."""
MAIL_READER = "plugins.email_spam.mailbox:iter_mails"
"""Decodes mail: charsets, HTML, attachments left out. Named, not imported, as presets do."""


@dataclass(frozen=True)
class Document:
    """One document and where it comes from.

    Attributes:
        source: path of the file.
        line: where it begins there; for mail the message's number.
        origin: the data set: a row's ``source``, or the file's name without its endings.
        licence: what the row says of it, or nothing.
    """

    text: str
    source: str
    line: int
    origin: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Slice:
    """A file, or the part of a plain one between two bytes."""

    path: Path
    start: int = 0
    stop: int | None = None


def stem(path: Path) -> str:
    """Return a file's name without its endings; for a message in a Maildir the folder's name."""
    if _in_maildir(path):
        return path.parent.parent.name
    name = path.name
    for suffix in (*COMPRESSED, *KINDS):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name or path.name


def kind(path: Path) -> Kind | None:
    """Return how a file is read, or None for one that is not."""
    if _in_maildir(path):
        return "mail"
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return KINDS.get(Path(name).suffix)


def compressed(path: Path) -> bool:
    """Whether a file has to be decompressed, so that it can't be entered in the middle."""
    return path.name.lower().endswith(COMPRESSED)


def _in_maildir(path: Path) -> bool:
    box = path.parent
    return box.name in ("cur", "new") and all((box.parent / n).is_dir() for n in ("cur", "new"))


def find_files(inputs: Sequence[Path]) -> list[Path]:
    """Return the readable files among files and, in sorted order, inside folders.

    Raises:
        BadInputError: an input is missing, of an unknown kind, or nothing is found.
    """
    known = f"{', '.join(KINDS)}, also with {', '.join(COMPRESSED)} behind, and Maildir folders"
    files: list[Path] = []
    for path in map(Path, inputs):
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file() and kind(p))
            depth = len(path.parts)
            files += [p for p in inside if not any(n.startswith(".") for n in p.parts[depth:])]
        elif not path.exists():
            raise BadInputError(f"{path}: no such file or folder")
        elif kind(path) is None:
            raise BadInputError(f"{path}: unknown kind of file", f"Read are {known}")
        else:
            files.append(path)
    if not files:
        raise BadInputError(f"{', '.join(map(str, inputs))}: nothing to read; read are {known}")
    return files


def documents(
    files: Sequence[Path], broken: Broken, progress: Progress | None = None, column: str = ""
) -> Iterator[Document]:
    """Yield every document of the files, in order; empty ones too.

    Args:
        column: of tables, the one that holds the text; by default one named like it.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
    """
    sizes = [path.stat().st_size for path in files]
    before, total = 0, max(sum(sizes), 1)
    for path, size in zip(files, sizes, strict=True):
        for count, (document, at) in enumerate(read_slice(Slice(path), broken, column)):
            yield document
            if progress is not None and count % 64 == 0:
                progress.update((before + min(at, size)) / total, path.name)
        before += size


def read_slice(part: Slice, broken: Broken, column: str = "") -> Iterator[tuple[Document, int]]:
    """Yield the documents of a file or of a part of it, and the byte reached in the file.

    A part of a file begins at the first line that begins in it.
    """
    from training.data import formats

    readers: dict[Kind, Callable[..., Iterator[Document]]] = {
        "text": formats.texts,
        "markdown": formats.markdown,
        "lines": formats.json_lines,
        "json": formats.json_array,
        "table": formats.table,
        "mail": formats.mails,
    }
    name = kind(part.path)
    assert name is not None
    with opened(part.path) as (stream, raw):
        extra: dict[str, Any] = {"column": column} if name == "table" else {}
        if part.start or part.stop is not None:
            extra |= {"start": part.start, "stop": part.stop}
        for document in readers[name](part.path, stream, broken, **extra):
            yield document, raw.tell()


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file; yields the decompressed stream and the file below it (for its position).

    Raises:
        BadInputError: it is damaged, or it cannot be read.
    """
    cut: tuple[type[Exception], ...] = (
        EOFError,
        lzma.LZMAError,
        gzip.BadGzipFile,
        zlib.error,
    )
    suffix = path.suffix.lower()
    if suffix == ".zst":
        import zstandard

        from training.data.zstd import open_zstd

        cut = (*cut, zstandard.ZstdError)
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            stream: Any = raw
            if suffix == ".xz":
                stream = stack.enter_context(lzma.open(raw))
            elif suffix == ".gz":
                stream = stack.enter_context(gzip.open(raw))
            elif suffix == ".zst":
                stream = open_zstd(raw)
            yield stream, raw
    except cut as error:
        raise BadInputError(f"{path}: damaged or cut short ({error})") from error
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror or error})") from error


def sources_there(name: str, sources: Collection[str]) -> str:
    """Return the end of a message about a source that is not there: which may be meant."""
    close = difflib.get_close_matches(name, sources, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return f"{meant} There are: {', '.join(sorted(sources)[:20])}"
