"""Notes from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.conversation import Note
from assistant.errors import BadInputError
from assistant.notes import LONGEST_NOTE, cited_notes, read_note


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (
            "Late fees\n20p a day.\nNone for children.\n",
            Note("Late fees", "20p a day. None for children."),
        ),
        ("\n\n# Late fees:\r\n\r\n20p\r\n", Note("Late fees", "20p")),
        ("20p a day", Note("fees", "20p a day")),
        ("\ufeffLate\n20p\x1b[31m", Note("Late", "20p[31m")),
    ],
)
def test_the_first_line_is_the_title(tmp_path: Path, content: str, note: Note) -> None:
    path = tmp_path / "fees.txt"
    path.write_bytes(content.encode())
    assert read_note(path) == note


def test_what_is_no_note_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    with pytest.raises(BadInputError, match=r"n\.txt cannot be read"):
        read_note(path)
    for data, complaint in (
        (b" \n", "empty"),
        (b"\xff\xfe", "no text"),
        (b"a" * (LONGEST_NOTE + 1), "longer"),
    ):
        path.write_bytes(data)
        with pytest.raises(BadInputError, match=complaint):
            read_note(path)


def test_citations_tell_which_notes_were_used() -> None:
    notes = [Note("A", "a"), Note("B", "b")]
    assert cited_notes("It is b [2], not [7] or [x].", notes) == [
        {"number": 1, "title": "A", "cited": False},
        {"number": 2, "title": "B", "cited": True},
    ]
    assert cited_notes("[1]", []) == []
