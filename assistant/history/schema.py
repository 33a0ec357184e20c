"""The database's schema: append-only migrations, see ``assistant.migrations``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

SET = "frontdesk.history"


def m001_conversations_and_messages(db: Database) -> None:
    """The tree of messages, and their full-text index kept in step by triggers."""
    for statement in (
        """
        CREATE TABLE conversation (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL DEFAULT '',
            created TEXT NOT NULL,
            updated TEXT NOT NULL,
            model TEXT NOT NULL,
            system_prompt TEXT NOT NULL,
            leaf_id TEXT REFERENCES message(id) DEFERRABLE INITIALLY DEFERRED
        ) STRICT
        """,
        "CREATE INDEX conversation_by_update ON conversation(updated DESC)",
        # parent_id has no ON DELETE CASCADE: each level of a cascade counts as a trigger, and
        # SQLite stops at 1000 of them, a long conversation has more.
        """
        CREATE TABLE message (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            conversation_id TEXT NOT NULL REFERENCES conversation(id) ON DELETE CASCADE,
            parent_id TEXT REFERENCES message(id) DEFERRABLE INITIALLY DEFERRED,
            role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
            content TEXT NOT NULL,
            status TEXT NOT NULL
                CHECK (status IN ('complete', 'streaming', 'stopped', 'interrupted', 'failed')),
            created TEXT NOT NULL,
            updated TEXT NOT NULL,
            model TEXT NOT NULL DEFAULT '',
            options TEXT NOT NULL DEFAULT '{}',
            statistics TEXT NOT NULL DEFAULT '{}',
            error TEXT NOT NULL DEFAULT '',
            process INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        "CREATE INDEX message_by_conversation ON message(conversation_id)",
        "CREATE INDEX message_by_parent ON message(parent_id)",
        "CREATE INDEX message_streaming ON message(status) WHERE status = 'streaming'",
        """
        CREATE VIRTUAL TABLE message_search USING fts5(
            content, content='message', content_rowid='number',
            tokenize="unicode61 remove_diacritics 2"
        )
        """,
        """
        CREATE TRIGGER message_inserted AFTER INSERT ON message BEGIN
            INSERT INTO message_search(rowid, content) VALUES (new.number, new.content);
        END
        """,
        """
        CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
            INSERT INTO message_search(message_search, rowid, content)
            VALUES ('delete', old.number, old.content);
        END
        """,
        """
        CREATE TRIGGER message_updated AFTER UPDATE OF content ON message BEGIN
            INSERT INTO message_search(message_search, rowid, content)
            VALUES ('delete', old.number, old.content);
            INSERT INTO message_search(rowid, content) VALUES (new.number, new.content);
        END
        """,
    ):
        db.conn.execute(statement)


def m002_pins_and_options(db: Database) -> None:
    """Conversations can be pinned, and remember the options their answers are sampled with."""
    for statement in (
        "ALTER TABLE conversation ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE conversation ADD COLUMN options TEXT NOT NULL DEFAULT '{}'",
        "CREATE INDEX conversation_by_pin ON conversation(pinned DESC, updated DESC)",
    ):
        db.conn.execute(statement)


STEPS = (m001_conversations_and_messages, m002_pins_and_options)
