"""handbook.jsonl: one entry a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from assistant.conversation import HandbookEntry
from assistant.errors import ModelError


def read_entries(path: Path) -> list[HandbookEntry]:
    """Read entries.

    Raises:
        ModelError: with file:line, for what cannot be read.
    """
    entries: list[HandbookEntry] = []
    number = 0
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):  # noqa: B007
                row = json.loads(line)
                texts = {key: str(row[key]) for key in ("id", "topic", "question", "answer")}
                asks = tuple(str(ask) for ask in row.get("asks", ()))
                entries.append(HandbookEntry(**texts, asks=asks))
    except OSError as error:
        raise ModelError(f"The handbook {path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"The handbook is damaged at {path}:{number} ({error!r})") from error
    return entries


def write_entries(path: Path, entries: Sequence[HandbookEntry]) -> None:
    """Write what ``read_entries`` reads."""
    with path.open("w", encoding="utf-8") as stream:
        for entry in entries:
            row = {
                "id": entry.id,
                "topic": entry.topic,
                "question": entry.question,
                "answer": entry.answer,
                "asks": list(entry.asks),
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def phrasings(entry: HandbookEntry) -> list[str]:
    """Return the ways to ask for an entry; each has a vector of its own."""
    return [entry.question, *entry.asks]


def item_of(entry_id: str) -> str:
    """Return the key of the dialogue that an entry comes from."""
    item, dot, turn = entry_id.rpartition(".")
    return item if dot and turn.isdigit() else entry_id
