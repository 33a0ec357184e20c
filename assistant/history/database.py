"""Opening the database: pragmas, permissions, migrations, damage, and errors for people."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.errors import StorageError
from assistant.history.schema import SET, STEPS
from assistant.migrations import migrate
from assistant.paths import DATA_VARIABLE

BUSY_TIMEOUT_MS = 8_000
# A full check reads every page: tens of milliseconds up to here. Larger files are checked by
# `assistant doctor`; damage in them still surfaces as an error, never as a crash.
CHECKED_ON_OPEN_BYTES = 32 * 2**20
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is broken."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


@contextmanager
def storage_errors(path: Path | None) -> Iterator[None]:
    """Turn what sqlite3 raises into StorageError with a hint."""
    try:
        yield
    except sqlite3.Error as error:
        raise _for_people(error, path) from error


def _for_people(error: sqlite3.Error, path: Path | None) -> StorageError:
    place = str(path) if path else "in memory"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE:
        return StorageError(
            f"The database {place} is damaged ({error})",
            "`assistant doctor` checks it; move the file away to start a fresh one",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(
            f"The database {place} is in use by another program",
            "Close the other program or try again",
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageError(f"The disk that holds {place} is full", "Free some space")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageError(
            f"The database {place} cannot be written ({error})",
            f"Change its permissions or set {DATA_VARIABLE} to another directory",
        )
    hint = "Is the disk full or gone?" if code == sqlite3.SQLITE_IOERR else ""
    return StorageError(f"The database {place} failed ({error})", hint)


def open_database(path: Path | None) -> tuple[sqlite3.Connection, list[str]]:
    """Open (and create) the database, in memory when ``path`` is None.

    A damaged file is moved aside and a fresh one is started.

    Returns:
        The database, and warnings that a front door should show.

    Raises:
        StorageError: it cannot be opened or written, or a newer version of this program wrote it.
    """
    if path is None:
        with storage_errors(None):
            return _connect(None), []
    _prepare_file(path)
    with storage_errors(path):
        try:
            return _connect(path), []
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        moved = _move_aside(path)
        _prepare_file(path)
        return _connect(path), [
            f"The database {path} was damaged. It was moved to {moved} and a fresh one was started"
        ]


def _prepare_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Created here so that nobody else may read it from its first byte; SQLite gives the
        # same mode to the files it puts beside it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StorageError(
            f"The database {path} cannot be opened ({error.strerror})",
            f"Change its permissions or set {DATA_VARIABLE} to another directory",
        ) from error


def _connect(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        str(path) if path else ":memory:",
        timeout=BUSY_TIMEOUT_MS / 1000,
        check_same_thread=False,  # History's lock serialises
    )
    try:
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
            "temp_store = MEMORY",  # no text in temporary files
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if path and path.stat().st_size <= CHECKED_ON_OPEN_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                error = sqlite3.DatabaseError(verdict)
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
        migrate(connection, SET, STEPS, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _move_aside(path: Path) -> Path:
    target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    number = 1
    while target.exists():
        target = target.with_name(f"{target.name}-{number}")
        number += 1
    try:
        path.rename(target)
        for suffix in ("-wal", "-shm"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                beside.rename(target.with_name(target.name + suffix))
    except OSError as error:
        raise StorageError(
            f"The database {path} is damaged and cannot be moved aside ({error.strerror})",
            "Move it away by hand",
        ) from error
    return target
