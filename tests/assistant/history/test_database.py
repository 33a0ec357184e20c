from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import StorageError
from assistant.history import History
from assistant.history.search import find_words


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


def test_the_directory_and_the_files_are_the_owners_alone(path: Path) -> None:
    history = History(path)
    history.create_conversation("m", "")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_database_others_could_read_is_closed_to_them(path: Path) -> None:
    History(path).close()
    path.chmod(0o644)
    History(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("busy_timeout", 8000),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("synchronous", 2),
    ],
)
def test_every_connection_has_its_pragmas(path: Path, pragma: str, value: object) -> None:
    History(path).close()
    history = History(path)
    assert history._connection.execute(f"PRAGMA {pragma}").fetchone()[0] == value


@pytest.mark.parametrize("damage", ["not a database", "torn page"])
def test_a_damaged_database_is_moved_aside_and_a_fresh_one_started(path: Path, damage: str) -> None:
    history = History(path)
    conversation = history.create_conversation("m", "")
    for n in range(100):
        history.add_user_message(conversation.id, f"message {n} " * 40)
    history.close()
    if damage == "not a database":
        path.write_bytes(b"this is no database, " * 500)
    else:
        content = bytearray(path.read_bytes())
        for page in range(4096, len(content), 4096):
            content[page : page + 512] = b"\xff" * 512
        path.write_bytes(bytes(content))
    before = path.read_bytes()

    fresh = History(path)

    assert fresh.conversations() == []
    fresh.add_user_message(fresh.create_conversation("m", "").id, "it goes on")
    (moved,) = path.parent.glob("history.db.damaged-*")
    assert moved.read_bytes() == before
    assert len(fresh.warnings) == 1
    assert str(moved) in fresh.warnings[0]
    assert History(path).warnings == []


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    History(path).close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('frontdesk.history', 'm999_from_the_future', '')"
    )
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match=r"newer version.*m999_from_the_future"):
        History(path)
    assert list(path.parent.glob("*damaged*")) == []


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be opened") as caught:
        History(tmp_path / "file" / "data" / "history.db")
    assert "FRONTDESK_DATA" in caught.value.hint


def test_a_directory_in_the_place_of_the_file_is_a_storage_error(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StorageError):
        History(path)


def test_a_locked_database_is_a_storage_error_that_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.history.database.BUSY_TIMEOUT_MS", 20)
    history = History(path)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="in use"):
        history.create_conversation("m", "")
    other.rollback()
    history.create_conversation("m", "")


def test_a_broken_search_index_is_made_again_from_the_messages(path: Path) -> None:
    history = History(path)
    conversation = history.create_conversation("m", "")
    history.add_user_message(conversation.id, "find the marmalade")
    history._connection.execute("DELETE FROM message_search_data WHERE id > 10")
    history._connection.commit()
    with pytest.raises(sqlite3.DatabaseError):
        find_words(history._connection, "marmalade", 5)
    assert [hit.conversation_id for hit in history.search("marmalade")] == [conversation.id]


def test_two_processes_can_create_the_database_at_the_same_moment(path: Path) -> None:
    script = f"""
from pathlib import Path
from assistant.history import History
History(Path({str(path)!r})).create_conversation("m", "")
"""
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert History(path).counts() == (3, 0)
