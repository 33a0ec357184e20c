"""One connection to the database: its lock, its transactions, its soundness."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.errors import StorageError
from assistant.history.database import open_database, storage_errors


class Connection:
    """What every part of the history reads and writes through. Thread-safe.

    Several processes may share a file: writers wait for each other up to the busy timeout.

    Attributes:
        path: of the database; None keeps everything in memory.
        warnings: lines that a front door should show, e.g. that a damaged file was moved aside.

    Raises:
        StorageError: by every method, when the database cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection, self.warnings = open_database(path)
        self._connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the connection; the history cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to read from."""
        with self._lock, storage_errors(self.path):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction that is committed at the end."""
        with self._lock, storage_errors(self.path):
            # IMMEDIATE: a deferred transaction that reads before it writes fails at once,
            # whatever the busy timeout, when another process wrote in between.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    def integrity(self) -> list[str]:
        """Check the whole file; return problems, none when it is sound."""
        try:
            with self.reading() as connection:
                rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
                problems = [str(row[0]) for row in rows if row[0] != "ok"]
                rows = connection.execute("PRAGMA foreign_key_check").fetchall()
                problems += [f"row {row[1]} of {row[0]} refers to a missing row" for row in rows]
        except StorageError as error:
            return [error.message]
        return problems

    def counts(self) -> tuple[int, int]:
        """Return the numbers of conversations and of messages."""
        with self.reading() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM conversation), (SELECT count(*) FROM message)"
            ).fetchone()
        return int(row[0]), int(row[1])
