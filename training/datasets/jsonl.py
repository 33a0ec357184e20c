"""Read JSON Lines, plain or compressed, with errors that name the file and the line."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from assistant.bundle import file_sha256

SUFFIXES = (".jsonl", ".jsonl.xz", ".jsonl.gz")


def is_jsonl(path: Path) -> bool:
    """Whether the name says JSON Lines."""
    return path.name.endswith(SUFFIXES)


def find_files(places: Sequence[str | Path]) -> list[Path]:
    """Return the JSON Lines files among files and (not recursively) in folders, sorted.

    Raises:
        ValueError: a place does not exist or a folder holds none.
    """
    found: list[Path] = []
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            inside = sorted(child for child in path.iterdir() if is_jsonl(child))
            if not inside:
                raise ValueError(f"{path} holds no file named *{', *'.join(SUFFIXES)}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"There is no file or folder {path}")
    return found


def _open(path: Path) -> IO[bytes]:
    if path.name.endswith(".xz"):
        return cast(IO[bytes], lzma.open(path))
    if path.name.endswith(".gz"):
        return cast(IO[bytes], gzip.open(path))
    return path.open("rb")


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", object) for each line that is not blank.

    Raises:
        ValueError: the file cannot be read, or a line is no JSON object.
    """
    number = 0
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                place = f"{path}:{number}"
                try:
                    row = json.loads(line.decode("utf-8"))
                except ValueError as error:
                    raise ValueError(f"{place}: not JSON in UTF-8 ({error})") from error
                if not isinstance(row, dict):
                    raise ValueError(f"{place}: a JSON object is needed, not {type(row).__name__}")
                yield place, row
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"{path}:{number + 1}: cannot be read ({error})") from error


def files_sha256(paths: Sequence[Path]) -> dict[str, str]:
    """Return file name to sha256, for provenance."""
    return {path.name: file_sha256(path) for path in paths}
