"""The history: conversations and their messages, searched and really deleted."""

from __future__ import annotations

import sqlite3
from typing import Any

from assistant.history.database import is_damage
from assistant.history.messages import Messages
from assistant.history.records import SearchHit
from assistant.history.search import find_passage, find_words, has_symbols
from assistant.history.values import storable


class History(Messages):
    """Conversations and their messages. Thread-safe; several processes may share a file.

    Args:
        path: of the database; None keeps everything in memory (a private session).

    Attributes:
        warnings: lines that a front door should show, e.g. that a damaged file was moved aside.

    Raises:
        StorageError: by every method, when the database cannot be read or written.
    """

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation so that its text is no longer in the database's files.

        Freed pages are overwritten (secure_delete), the search index is merged, which drops the
        words of deleted rows, and the write-ahead log is emptied. What a file system or an SSD
        keeps of overwritten blocks is beyond a program's reach.
        """
        conversation = self.conversation(conversation_id)
        with self.writing() as connection:
            connection.execute("DELETE FROM message WHERE conversation_id = ?", (conversation.id,))
            connection.execute("DELETE FROM conversation WHERE id = ?", (conversation.id,))
            # FTS5's own secure-delete option would do, but makes the file unreadable to SQLite
            # before 3.42.
            connection.execute("INSERT INTO message_search(message_search) VALUES ('optimize')")
        if self.path is not None and not self._empty_log():
            self.warnings.append(
                "The conversation is deleted; its text leaves the write-ahead log when the other "
                "program that has the database open closes it"
            )

    def _empty_log(self) -> bool:
        with self.reading() as connection:
            # Waits for other readers as long as the busy timeout.
            busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def search(self, query: str, limit: int = 50) -> list[SearchHit]:
        """Find messages that hold all words of the query; any string is a safe query."""
        text = storable(query).strip()
        if not text:
            return []
        finders = [self._find_words, self._find_passage]
        if has_symbols(text):
            finders.reverse()
        with self.reading():
            rows = finders[0](text, limit) or finders[1](text, limit)
        return [SearchHit(**row) for row in rows]

    def _find_passage(self, text: str, limit: int) -> list[dict[str, Any]]:
        return find_passage(self._connection, text, limit)

    def _find_words(self, text: str, limit: int) -> list[dict[str, Any]]:
        try:
            return find_words(self._connection, text, limit)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        # Only the index is broken: it can be made again from the messages.
        with self.writing() as connection:
            connection.execute("INSERT INTO message_search(message_search) VALUES ('rebuild')")
        return find_words(self._connection, text, limit)
