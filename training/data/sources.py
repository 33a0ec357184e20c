"""Reading documents from files and folders: text, Markdown, JSON Lines, plain or compressed.

Everything streams: memory holds one document at a time, however large the files are.
"""

from __future__ import annotations

import gzip
import json
import lzma
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assistant.errors import BadInputError
from training.progress import Progress

TEXT, LINES = (".txt", ".md"), (".jsonl",)
COMPRESSED = (".xz", ".gz")
LONGEST_LINE = 32 * 2**20
"""Bytes of a JSON line; a longer one is counted as broken and skipped without being held."""
LONGEST_TEXT = 2**20
"""Bytes of a text document; a longer file becomes several, cut at the end of a line."""


@dataclass(frozen=True)
class Document:
    """One document and where it stands."""

    text: str
    source: str
    line: int


class Broken:
    """Counts broken lines, names the first ones on stderr, and gives up beyond a limit."""

    SHOWN = 10

    def __init__(self, limit: int) -> None:
        self.limit, self.count = limit, 0

    def add(self, place: str, reason: str) -> None:
        """Count one.

        Raises:
            BadInputError: there are more than the limit.
        """
        self.count += 1
        if self.count > self.limit:
            raise BadInputError(
                f"{place}: {reason}; that is broken line number {self.count}",
                "Repair the data, or allow more with --set max_broken=...",
            )
        if self.count <= self.SHOWN:
            print(f"warning: {place}: {reason}; skipped", file=sys.stderr)


def kind(path: Path) -> str | None:
    """Return ``text`` or ``lines``, or None for a file that is not read."""
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    if name.endswith(TEXT):
        return "text"
    return "lines" if name.endswith(LINES) else None


def find_files(inputs: Sequence[Path]) -> list[Path]:
    """Return the readable files among files and, in sorted order, inside folders.

    Raises:
        BadInputError: an input is missing, of an unknown kind, or nothing is found.
    """
    files: list[Path] = []
    for path in map(Path, inputs):
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file() and kind(p))
            files += [p for p in inside if not any(part.startswith(".") for part in p.parts[1:])]
        elif not path.exists():
            raise BadInputError(f"{path}: no such file or folder")
        elif kind(path) is None:
            raise BadInputError(
                f"{path}: unknown kind of file",
                "Read are .txt, .md and .jsonl, also with .xz or .gz behind",
            )
        else:
            files.append(path)
    if not files:
        raise BadInputError(
            f"{', '.join(map(str, inputs))}: no .txt, .md or .jsonl files (or .xz, .gz of them)"
        )
    return files


def documents(
    files: Sequence[Path], broken: Broken, progress: Progress | None = None
) -> Iterator[Document]:
    """Yield every document of the files, in order; empty ones too.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
    """
    sizes = [path.stat().st_size for path in files]
    before, total = 0, max(sum(sizes), 1)
    for path, size in zip(files, sizes, strict=True):
        read = _texts if kind(path) == "text" else _lines
        with _open(path) as (stream, raw):
            for count, document in enumerate(read(path, stream, broken)):
                yield document
                if progress is not None and count % 64 == 0:
                    progress.update((before + min(raw.tell(), size)) / total, path.name)
        before += size


def document_text(row: Any) -> str:
    """Return the text of a JSON row: ``text``, a chat's ``messages``, or a mail's ``body``.

    Raises:
        ValueError: it has none of them, or they are not strings.
    """
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if "text" in row:
        parts = [row["text"]]
    elif "messages" in row:
        if not isinstance(row["messages"], list):
            raise ValueError("messages is not a list")
        parts = [m.get("content") if isinstance(m, dict) else None for m in row["messages"]]
        notes = row.get("context") or []
        if isinstance(notes, list):
            parts = [n.get("text") for n in notes if isinstance(n, dict)] + parts
    elif "body" in row:
        headers = row.get("headers")
        subject = headers.get("Subject") if isinstance(headers, dict) else None
        parts = [subject or "", row["body"]]
    else:
        raise ValueError("has neither text, messages nor body")
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("its text is not a string")
    return "\n\n".join(part.strip() for part in parts if part.strip())


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file; yields the decompressed stream and the file below it (for its position)."""
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            stream: Any = raw
            if path.suffix.lower() == ".xz":
                stream = stack.enter_context(lzma.open(raw))
            elif path.suffix.lower() == ".gz":
                stream = stack.enter_context(gzip.open(raw))
            yield stream, raw
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise BadInputError(f"{path}: damaged or cut short ({error})") from error
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _lines(path: Path, stream: IO[bytes], broken: Broken) -> Iterator[Document]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            broken.add(f"{path}:{number}", f"longer than {LONGEST_LINE // 2**20} MiB")
            continue
        if not line.strip():
            continue
        try:
            text = document_text(json.loads(line))
        except RecursionError:
            broken.add(f"{path}:{number}", "nested too deeply")
        except ValueError as error:  # JSON, UTF-8, and what document_text refuses
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            broken.add(f"{path}:{number}", reason)
        else:
            yield Document(text, str(path), number)


def _texts(path: Path, stream: IO[bytes], broken: Broken) -> Iterator[Document]:
    number = 1
    while block := stream.read(LONGEST_TEXT):
        block += stream.readline(LONGEST_TEXT)
        try:
            text = block.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = number + block.count(b"\n", 0, error.start)
            broken.add(f"{path}:{line}", "not UTF-8")
        else:
            yield Document(text.strip(), str(path), number)
        number += block.count(b"\n")
