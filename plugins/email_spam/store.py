"""The plugin's database: one SQLite file that its owner alone may read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.plugin_api import StorageError, migrate, plugin_data_directory, plugin_data_path

if TYPE_CHECKING:
    from sqlite_utils import Database

PLUGIN = "email_spam"
FILE = "spam.db"
BUSY_TIMEOUT_MS = 5_000


def store_exists() -> bool:
    """Whether anything was ever stored; asking creates nothing."""
    return (plugin_data_path(PLUGIN) / FILE).is_file()


@contextmanager
def open_store() -> Iterator[Database]:
    """Open (and create) the database and close it in the end; each ``with`` is one connection.

    Raises:
        StorageError: it cannot be opened or written, is damaged, or comes from a newer version.
    """
    path = plugin_data_directory(PLUGIN) / FILE
    with _storage_errors(path):
        # Created here so that nobody else may read it from its first byte on.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = _connect(path)
        try:
            yield db
        finally:
            db.close()


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _connect(path: Path) -> Database:
    from sqlite_utils import Database

    from plugins.email_spam.schema import SET, STEPS

    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "foreign_keys = ON",
            "secure_delete = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        migrate(connection, SET, STEPS, path)
    except BaseException:
        connection.close()
        raise
    return Database(connection, execute_plugins=False)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            hint = "Move the file away: rules, marks and the journal start afresh"
            raise StorageError(f"{path} is damaged ({error})", hint) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StorageError(f"{path} is in use by another program", "Try again") from error
        if code == sqlite3.SQLITE_FULL:
            raise StorageError(f"The disk that holds {path} is full", "Free some space") from error
        hint = "Check the permissions of the data directory"
        raise StorageError(f"{path} cannot be used ({error})", hint) from error
    except PermissionError as error:
        hint = "Check the permissions of the data directory"
        raise StorageError(f"{path} cannot be opened ({error.strerror})", hint) from error
