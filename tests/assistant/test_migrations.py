from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from assistant.errors import StorageError
from assistant.migrations import migrate


def m001(db: Database) -> None:
    db.conn.execute("CREATE TABLE shelf (book TEXT)")


def m002(db: Database) -> None:
    db.conn.execute("ALTER TABLE shelf ADD COLUMN author TEXT")


def broken(db: Database) -> None:
    db.conn.execute("CREATE TABLE other (n)")
    raise sqlite3.OperationalError("no")


def columns(connection: sqlite3.Connection, table: str = "shelf") -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def test_steps_are_applied_once_in_their_order_and_later_ones_follow() -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection, "set", (m001,))
    assert columns(connection) == ["book"]
    for _ in range(2):
        migrate(connection, "set", (m001, m002))
        assert columns(connection) == ["book", "author"]


def test_what_is_kept_is_what_sqlite_utils_reads() -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection, "set", (m001, m002))
    reader = Migrations("set")
    reader()(m001)
    reader()(m002)
    assert [step.name for step in reader.applied(Database(connection))] == ["m001", "m002"]


def test_sets_in_one_file_do_not_know_each_other() -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection, "one", (m001,))
    migrate(connection, "two", (m002,))
    assert columns(connection) == ["book", "author"]


def test_a_database_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "shelf.db"
    connection = sqlite3.connect(path)
    migrate(connection, "set", (m001, m002))
    before = list(connection.iterdump())
    with pytest.raises(StorageError, match=r"shelf\.db.*newer.*m002"):
        migrate(connection, "set", (m001,), path)
    assert list(connection.iterdump()) == before


def test_a_step_that_fails_leaves_nothing_behind() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "set", (m001, broken))
    connection.rollback()
    assert columns(connection) == columns(connection, "other") == []
    migrate(connection, "set", (m001, m002))
    assert columns(connection) == ["book", "author"]


def test_a_database_that_has_everything_is_opened_without_sqlite_utils(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from assistant.history import History\n"
        "History(Path(sys.argv[1])).close()\n"
        "print('sqlite_utils' in sys.modules)"
    )

    def opened() -> str:
        run = [sys.executable, "-c", code, str(tmp_path / "history.db")]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    assert (opened(), opened()) == ("True", "False")
