"""One reader for each kind of file; all stream, and name what they skip by file and line."""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from assistant.errors import BadInputError
from training.data import broken as limits
from training.data import sources
from training.data.broken import Broken, bounded_lines, too_long
from training.data.rows import document_text, licence_of
from training.data.sources import Document, stem

TEXT_COLUMNS = ("text", "content", "body", "message", "review", "comment", "document")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_BLOCK = 2**20


def json_lines(
    path: Path, stream: IO[bytes], broken: Broken, start: int = 0, stop: int | None = None
) -> Iterator[Document]:
    """Yield the documents of JSON Lines.

    Args:
        start, stop: bytes; the lines that begin between them are read. Line numbers count from
            ``start`` then, and say so.
    """
    name, at = stem(path), _seek_line(stream, start)
    for number, line in bounded_lines(stream, at, stop):
        place = f"{path}:{number}{_since(start)}"
        if line is None:
            broken.add(place, too_long())
            continue
        if line.strip():
            document = _of_json(line, path, number, name, place, broken)
            if document is not None:
                yield document


def _since(start: int) -> str:
    return f" (after byte {start})" if start else ""


def _seek_line(stream: IO[bytes], start: int) -> int:
    """Go to the first line that begins at ``start`` or behind it."""
    if not start:
        return 0
    stream.seek(start - 1)
    skipped = 0
    while rest := stream.readline(_BLOCK):  # the line that the byte before belongs to
        skipped += len(rest)
        if rest.endswith(b"\n"):
            break
    return start - 1 + skipped


def _of_json(
    data: bytes | str, path: Path, number: int, name: str, place: str, broken: Broken
) -> Document | None:
    try:
        return _document(json.loads(data), path, number, name)
    except RecursionError:
        broken.add(place, "nested too deeply")
    except ValueError as error:  # JSON, UTF-8, and what document_text refuses
        broken.add(place, error.msg if isinstance(error, json.JSONDecodeError) else str(error))
    return None


def _document(row: Any, path: Path, number: int, name: str) -> Document:
    text = document_text(row)
    origin = str(row.get("source") or name).partition("/")[0]
    return Document(text, str(path), number, origin, licence_of(row))


def json_array(path: Path, stream: IO[bytes], broken: Broken) -> Iterator[Document]:
    """Yield the documents of a JSON array of objects, or of one object; line is the number."""
    decoder, name = json.JSONDecoder(), stem(path)
    blocks = codecs.iterdecode(iter(lambda: stream.read(_BLOCK), b""), "utf-8-sig", "strict")
    held, number = "", 0
    try:
        for block in blocks:
            held += block
            while True:
                held = held.lstrip("[, \t\r\n")
                if not held or held.startswith("]"):
                    break
                try:
                    row, end = decoder.raw_decode(held)
                except json.JSONDecodeError:
                    if len(held) > limits.LONGEST_LINE:
                        raise
                    break  # cut by the block's end, or broken: the end will tell
                held, number = held[end:], number + 1
                try:
                    document = _document(row, path, number, name)
                except ValueError as error:
                    broken.add(f"{path}: object {number}", str(error))
                else:
                    yield document
        if held.strip("[], \t\r\n"):
            decoder.raw_decode(held)
    except UnicodeDecodeError:
        broken.add(f"{path}: after object {number}", "not UTF-8")
    except RecursionError:
        broken.add(f"{path}: object {number + 1}", "nested too deeply")
    except json.JSONDecodeError as error:
        broken.add(f"{path}: object {number + 1}", error.msg)


def texts(
    path: Path, stream: IO[bytes], broken: Broken, start: int = 0, stop: int | None = None
) -> Iterator[Document]:
    """Yield a text file, cut at the end of a line where it is long."""
    number, name = 1, stem(path)
    at = _seek_line(stream, start)
    while stop is None or at < stop:
        wanted = sources.LONGEST_TEXT if stop is None else min(sources.LONGEST_TEXT, stop - at)
        block = stream.read(wanted)
        if not block:
            return
        if not block.endswith(b"\n"):
            block += stream.readline(sources.LONGEST_TEXT)
        at += len(block)
        try:
            text = block.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = number + block.count(b"\n", 0, error.start)
            broken.add(f"{path}:{line}{_since(start)}", "not UTF-8")
        else:
            yield Document(text.strip(), str(path), number, name)
        number += block.count(b"\n")


def markdown(
    path: Path, stream: IO[bytes], broken: Broken, start: int = 0, stop: int | None = None
) -> Iterator[Document]:
    """Yield a Markdown file as it stands, without the front matter between lines of dashes."""
    for document in texts(path, stream, broken, start, stop):
        text = document.text
        if document.line == 1 and not start:
            text = _FRONT_MATTER.sub("", text + "\n").strip()
        yield Document(text, document.source, document.line, document.origin)


def table(path: Path, stream: IO[bytes], broken: Broken, column: str = "") -> Iterator[Document]:
    """Yield the rows of a CSV or TSV file with a header, by the column that holds the text.

    Raises:
        BadInputError: no such column.
    """
    # undecodable bytes become surrogates: they spoil their row, not the file
    lines = io.TextIOWrapper(
        cast(Any, stream), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    csv.field_size_limit(limits.LONGEST_LINE)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    reader = csv.DictReader(lines, delimiter="\t" if ".tsv" in suffixes else ",")
    names = list(reader.fieldnames or [])
    by_lower = {str(name).strip().lower(): name for name in names}
    wanted = (column.lower(),) if column else TEXT_COLUMNS
    chosen = next((by_lower[name] for name in wanted if name in by_lower), None)
    if chosen is None:
        raise BadInputError(
            f"{path}: no column {' or '.join(wanted)}",
            f"It has {', '.join(map(str, names)) or 'none'}; choose with --set text_column=NAME",
        )
    name = stem(path)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            broken.add(f"{path}:{line}", str(error))
            continue
        text = row.get(chosen)
        if text is None:
            broken.add(f"{path}:{line}", f"has no column {chosen}")
        elif any("\udc80" <= character <= "\udcff" for character in text):
            broken.add(f"{path}:{line}", "not UTF-8")
        else:
            lower = {str(key).lower(): value for key, value in row.items() if key is not None}
            origin = str(lower.get("source") or name).partition("/")[0]
            yield Document(text.strip(), str(path), line, origin, licence_of(lower))
    lines.detach()


def mails(path: Path, stream: IO[bytes], broken: Broken) -> Iterator[Document]:
    """Yield subject and text of an .eml file or of each message of an mbox."""
    module, _, attribute = sources.MAIL_READER.partition(":")
    read: Callable[..., Any] = getattr(importlib.import_module(module), attribute)

    def failed(_: str, error: BadInputError) -> None:
        broken.add(f"{path}:{number + 1}", str(error))

    number, name = 0, stem(path)
    for number, (_, mail) in enumerate(read("-", stdin=stream, on_error=failed), start=1):
        parts = [mail.subject.strip(), mail.body.strip()]
        text = "\n\n".join(part for part in parts if part)
        yield Document(text, str(path), number, name)
