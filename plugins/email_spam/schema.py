"""The tables of the plugin's own database; a shipped migration is never edited, add the next.

Paths are BLOBs: a file name is bytes, and not every one of them is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

SET = "frontdesk.email_spam"


def m001_rules_marks_heads_scans(db: Database) -> None:
    """Whom to trust, what the person taught, what scans found and which files they moved."""
    for statement in (
        """
        CREATE TABLE sender_rule (
            pattern TEXT PRIMARY KEY,
            action TEXT NOT NULL CHECK (action IN ('allow', 'block')),
            created TEXT NOT NULL
        ) STRICT
        """,
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        # text is NULL unless the person allowed that it is kept
        """
        CREATE TABLE mark (
            digest BLOB PRIMARY KEY,
            label TEXT NOT NULL CHECK (label IN ('spam', 'ham')),
            revision TEXT NOT NULL,
            log_odds REAL NOT NULL,
            embedding BLOB NOT NULL,
            text TEXT,
            created TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE head (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            revision TEXT NOT NULL,
            content TEXT NOT NULL,
            active INTEGER NOT NULL CHECK (active IN (0, 1)),
            created TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE scan (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            path BLOB NOT NULL,
            model TEXT NOT NULL,
            rehearsed BLOB,
            started TEXT NOT NULL,
            finished TEXT
        ) STRICT
        """,
        # one row a message and model: a scan that goes on asks for what it knows already
        """
        CREATE TABLE result (
            digest BLOB NOT NULL,
            model TEXT NOT NULL,
            scan INTEGER NOT NULL REFERENCES scan(number) ON DELETE CASCADE,
            probability REAL NOT NULL,
            judged INTEGER NOT NULL,
            verdict TEXT NOT NULL,
            sender TEXT NOT NULL,
            sent TEXT NOT NULL,
            PRIMARY KEY (digest, model)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX result_by_scan ON result(scan)",
        """
        CREATE TABLE move (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            scan INTEGER NOT NULL REFERENCES scan(number) ON DELETE CASCADE,
            source BLOB NOT NULL,
            target BLOB NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('planned', 'moved', 'undone', 'failed'))
        ) STRICT
        """,
        "CREATE INDEX move_by_scan ON move(scan)",
    ):
        db.conn.execute(statement)


def m002_threshold_of_a_rehearsal(db: Database) -> None:
    """Which threshold a rehearsal showed: a lower one moves mail that nobody has seen listed."""
    db.conn.execute("ALTER TABLE scan ADD COLUMN threshold REAL")


STEPS = (m001_rules_marks_heads_scans, m002_threshold_of_a_rehearsal)
