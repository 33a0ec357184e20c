"""Bringing a database up to this program's schema: steps that only ever grow in number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from assistant.errors import StorageError
from assistant.paths import DATA_VARIABLE

if TYPE_CHECKING:
    from sqlite_utils import Database

Step: TypeAlias = Callable[["Database"], None]
"""A migration: a function whose name is its identity. A shipped one is never edited; add the
next. Statements are executed one by one: ``executescript`` would commit the transaction that
a step runs in."""


def migrate(
    connection: sqlite3.Connection, name: str, steps: Sequence[Step], path: Path | None = None
) -> None:
    """Apply the steps of a set that a database lacks, in their order, all or none.

    Names of the applied ones are kept as sqlite-utils keeps them (its ``Migrations``). It is
    imported only where something is pending: opening a database that has everything is two
    queries, while the import would take as long as that of the whole interface.

    Args:
        connection: with no transaction open.
        name: of the set; a file may hold several.
        path: of the file, for the message.

    Raises:
        StorageError: the database has steps this program does not know.
    """
    names = [step.__name__ for step in steps]
    applied = _applied(connection, name)
    if unknown := applied - set(names):
        raise StorageError(
            f"The database {path or 'in memory'} was written by a newer version of this program "
            f"({', '.join(sorted(unknown))})",
            f"Move to the newer version or let {DATA_VARIABLE} name another directory",
        )
    if applied == set(names):
        return
    from sqlite_utils import Database, Migrations

    migrations = Migrations(name)
    for step in steps:
        migrations()(step)
    # One process migrates; a second that starts at the same moment waits here, and then finds
    # nothing pending.
    connection.execute("BEGIN IMMEDIATE")
    migrations.apply(Database(connection, execute_plugins=False))
    connection.execute("COMMIT")


def _applied(connection: sqlite3.Connection, name: str) -> set[str]:
    table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlite_migrations'"
    if connection.execute(table).fetchone() is None:
        return set()
    query = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {str(row[0]) for row in connection.execute(query, (name,))}
