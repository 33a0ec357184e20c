"""Read JSON Lines, plain or compressed, with errors that name the file and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant.bundle import file_sha256
from training.data.broken import Broken, bounded_lines, too_long
from training.data.sources import opened

SUFFIXES = (".jsonl", ".jsonl.xz", ".jsonl.gz", ".jsonl.zst")


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


def read_rows(path: Path, broken: Broken | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", object) for each line that is not blank.

    Args:
        broken: counts and skips lines that are no JSON object; without it one is an error.

    Raises:
        ValueError: such a line, without ``broken``.
        BadInputError: the file cannot be read, or more lines are broken than ``broken`` allows.
    """
    with opened(path) as (stream, _):
        for number, line in bounded_lines(stream):
            if line is not None and not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                row = _row(line)
            except ValueError as error:
                if broken is None:
                    raise ValueError(f"{place}: {error}") from error
                broken.add(place, str(error))
            else:
                yield place, row


def _row(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise ValueError(too_long())
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON in UTF-8 ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"a JSON object is needed, not {type(row).__name__}")
    return row


def files_sha256(paths: Sequence[Path]) -> dict[str, str]:
    """Return file name to sha256, for provenance."""
    return {path.name: file_sha256(path) for path in paths}
