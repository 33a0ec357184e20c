"""Notes a person gives along with a question, read from text files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.conversation import Note
from assistant.errors import BadInputError
from assistant.text import sanitize

LONGEST_NOTE = 64 * 1024
_CITATION = re.compile(r"\[(\d{1,3})\]")


def read_note(path: Path) -> Note:
    """Read a note: its first line that is not blank is the title, the rest its text.

    A note of one line has the file's name for a title.

    Raises:
        BadInputError: the file cannot be read, is empty, too long or no text in UTF-8.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LONGEST_NOTE + 1)
    except OSError as error:
        raise BadInputError(f"The note {path} cannot be read ({error.strerror})") from error
    if len(data) > LONGEST_NOTE:
        raise BadInputError(
            f"The note {path} is longer than {LONGEST_NOTE // 1024} KB", "Shorten it"
        )
    try:
        text = sanitize(data.decode("utf-8-sig")).strip()
    except UnicodeDecodeError as error:
        raise BadInputError(f"The note {path} is no text in UTF-8") from error
    title, _, rest = text.partition("\n")
    if not text:
        raise BadInputError(f"The note {path} is empty")
    if not rest.strip():
        title, rest = path.stem, text
    return Note(title.lstrip("#").strip(" :") or path.stem, " ".join(rest.split()))


def cited_notes(answer: str, notes: Sequence[Note]) -> list[dict[str, Any]]:
    """Return the notes as sources of an answer: number, title, and whether it cites them."""
    cited = {int(number) for number in _CITATION.findall(answer)}
    return [
        {"number": number, "title": note.title, "cited": number in cited}
        for number, note in enumerate(notes, start=1)
    ]
