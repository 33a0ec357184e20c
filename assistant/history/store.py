"""The history: every write a person or a model causes, committed when the call returns."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from assistant.conversation import Role
from assistant.errors import BadInputError, StorageError
from assistant.history.database import is_damage, open_database, storage_errors
from assistant.history.records import (
    Conversation,
    MessageStatus,
    SearchHit,
    StoredMessage,
    conversation_from_row,
    message_from_row,
)
from assistant.history.search import find_passage, find_words, has_symbols
from assistant.history.values import other_process_lives, stale_before, storable, timestamp
from assistant.text import sanitize_line

ROOT: Final = ""
"""As a parent: the place before the first message."""

TITLE_LENGTH = 60

_CONVERSATIONS = """
    SELECT conversation.*,
           (SELECT count(*) FROM message WHERE conversation_id = conversation.id) AS message_count
    FROM conversation
"""


class History:
    """Conversations and their messages. Thread-safe; several processes may share a file.

    Args:
        path: of the database; None keeps everything in memory (a private session).

    Attributes:
        warnings: lines that a front door should show, e.g. that a damaged file was moved aside.

    Raises:
        StorageError: by every method, when the database cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._streaming: set[str] = set()
        self._db, self.warnings = open_database(path)
        self._connection = self._db.conn
        self._connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the connection; the history cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, storage_errors(self.path):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, storage_errors(self.path):
            # IMMEDIATE: a deferred transaction that reads before it writes fails at once,
            # whatever the busy timeout, when another process wrote in between.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                with self._db.atomic():
                    yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    def recover(self) -> int:
        """Mark answers that a dead process left "streaming" as "interrupted"; return how many."""
        stale = stale_before()
        with self._writing() as connection:
            left = [
                row["id"]
                for row in connection.execute(
                    "SELECT id, process, updated FROM message WHERE status = 'streaming'"
                )
                if row["id"] not in self._streaming
                and (row["updated"] < stale or not other_process_lives(row["process"]))
            ]
            connection.executemany(
                "UPDATE message SET status = 'interrupted' WHERE id = ?", [(i,) for i in left]
            )
        return len(left)

    def create_conversation(self, model: str, system_prompt: str) -> Conversation:
        """Store a new, empty conversation."""
        conversation_id, now = secrets.token_hex(8), timestamp()
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO conversation (id, created, updated, model, system_prompt)"
                " VALUES (?, ?, ?, ?, ?)",
                (conversation_id, now, now, model, storable(system_prompt)),
            )
        return self.conversation(conversation_id)

    def conversation(self, conversation_id: str) -> Conversation:
        """Return a conversation by its id or a prefix of it that no other has.

        Raises:
            BadInputError: there is none, or several.
        """
        conversation_id = storable(conversation_id)
        with self._reading() as connection:
            rows = connection.execute(
                _CONVERSATIONS + " WHERE substr(id, 1, length(?1)) = ?1 LIMIT 20",
                (conversation_id,),
            ).fetchall()
        exact = [row for row in rows if row["id"] == conversation_id]
        shown = sanitize_line(conversation_id, 40)
        if not conversation_id or not rows:
            raise BadInputError(
                f"There is no conversation {shown!r}", "`assistant history list` shows them"
            )
        if len(rows) > 1 and not exact:
            raise BadInputError(
                f"Several conversations begin with {shown!r}", "Give more of the id"
            )
        return conversation_from_row(dict((exact or rows)[0]))

    def conversations(self, limit: int = 200, offset: int = 0) -> list[Conversation]:
        """Return conversations, the newest updated first."""
        with self._reading() as connection:
            rows = connection.execute(
                _CONVERSATIONS + " ORDER BY updated DESC, rowid DESC LIMIT ? OFFSET ?",
                (limit, offset),
            ).fetchall()
        return [conversation_from_row(dict(row)) for row in rows]

    def messages(self, conversation_id: str) -> list[StoredMessage]:
        """Return the current branch, oldest first."""
        conversation = self.conversation(conversation_id)
        with self._reading() as connection:
            rows = connection.execute(
                """
                WITH RECURSIVE branch(id, depth) AS (
                    SELECT leaf_id, 0 FROM conversation WHERE id = ?
                    UNION ALL
                    SELECT message.parent_id, depth + 1
                    FROM branch JOIN message ON message.id = branch.id
                    WHERE message.parent_id IS NOT NULL
                )
                SELECT message.* FROM branch JOIN message ON message.id = branch.id
                ORDER BY depth DESC
                """,
                (conversation.id,),
            ).fetchall()
        return [message_from_row(dict(row)) for row in rows]

    def all_messages(self, conversation_id: str) -> list[StoredMessage]:
        """Return the messages of all branches in the order they were written."""
        conversation = self.conversation(conversation_id)
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM message WHERE conversation_id = ? ORDER BY number",
                (conversation.id,),
            ).fetchall()
        return [message_from_row(dict(row)) for row in rows]

    def message(self, message_id: str) -> StoredMessage:
        """Return one message; raises BadInputError if there is none."""
        with self._reading() as connection:
            row = connection.execute("SELECT * FROM message WHERE id = ?", (message_id,)).fetchone()
        if row is None:
            raise BadInputError(f"There is no message {sanitize_line(message_id, 40)!r}")
        return message_from_row(dict(row))

    def add_user_message(
        self, conversation_id: str, content: str, parent_id: str | None = None
    ) -> StoredMessage:
        """Store a person's message; it is committed on return.

        Args:
            parent_id: the message it follows; None appends to the current branch, ``ROOT``
                begins a new branch before the first message (an edited first question).
        """
        conversation = self.conversation(conversation_id)
        if parent_id and self.message(parent_id).conversation_id != conversation.id:
            raise BadInputError("The message belongs to another conversation")
        with self._writing() as connection:
            if parent_id is None:
                parent_id = connection.execute(
                    "SELECT leaf_id FROM conversation WHERE id = ?", (conversation.id,)
                ).fetchone()[0]
            message_id = self._insert(
                connection,
                conversation.id,
                parent_id or None,
                role="user",
                content=content,
                status="complete",
            )
            connection.execute(
                "UPDATE conversation SET title = ? WHERE id = ? AND title = ''",
                (sanitize_line(content, TITLE_LENGTH), conversation.id),
            )
        return self.message(message_id)

    def begin_answer(self, parent_id: str, model: str, options: dict[str, Any]) -> StoredMessage:
        """Store an empty answer to ``parent_id`` with status "streaming"."""
        parent = self.message(parent_id)
        with self._writing() as connection:
            message_id = self._insert(
                connection,
                parent.conversation_id,
                parent.id,
                role="assistant",
                content="",
                status="streaming",
                model=model,
                options=options,
            )
            self._streaming.add(message_id)
        return self.message(message_id)

    def resume_answer(self, message_id: str) -> StoredMessage:
        """Set an answer that ended early back to "streaming", to be continued."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE message SET status = 'streaming', error = '', process = ?, updated = ?"
                " WHERE id = ?",
                (os.getpid(), timestamp(), message_id),
            )
            self._streaming.add(message_id)
        return self.message(message_id)

    def update_answer(self, message_id: str, content: str) -> None:
        """Store what has been said so far."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE message SET content = ?, updated = ? WHERE id = ?",
                (storable(content), timestamp(), message_id),
            )

    def finish_answer(
        self,
        message_id: str,
        content: str,
        status: MessageStatus,
        statistics: dict[str, Any] | None = None,
        error: str = "",
    ) -> StoredMessage:
        """Store the answer as it ended."""
        now = timestamp()
        with self._writing() as connection:
            connection.execute(
                "UPDATE message SET content = ?, status = ?, statistics = ?, error = ?,"
                " updated = ? WHERE id = ?",
                (storable(content), status, json.dumps(statistics or {}), storable(error), now,
                 message_id),
            )  # fmt: skip
            connection.execute(
                "UPDATE conversation SET updated = ?"
                " WHERE id = (SELECT conversation_id FROM message WHERE id = ?)",
                (now, message_id),
            )
            self._streaming.discard(message_id)
        return self.message(message_id)

    def siblings(self, message_id: str) -> list[StoredMessage]:
        """Return the versions of a message (itself among them), oldest first."""
        message = self.message(message_id)
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM message WHERE conversation_id = ? AND parent_id IS ?"
                " AND role = ? ORDER BY number",
                (message.conversation_id, message.parent_id, message.role),
            ).fetchall()
        return [message_from_row(dict(row)) for row in rows]

    def select(self, message_id: str) -> None:
        """Make the branch through a message the current one, down to its newest descendant."""
        message = self.message(message_id)
        with self._writing() as connection:
            children = "SELECT id FROM message WHERE parent_id = ? ORDER BY number DESC LIMIT 1"
            leaf = message.id
            while row := connection.execute(children, (leaf,)).fetchone():
                leaf = row["id"]
            connection.execute(
                "UPDATE conversation SET leaf_id = ? WHERE id = ?", (leaf, message.conversation_id)
            )

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title; raises BadInputError when it is empty."""
        conversation = self.conversation(conversation_id)
        line = sanitize_line(title, TITLE_LENGTH)
        if not line:
            raise BadInputError("A title cannot be empty")
        with self._writing() as connection:
            connection.execute(
                "UPDATE conversation SET title = ? WHERE id = ?", (line, conversation.id)
            )

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation so that its text is no longer in the database's files.

        Freed pages are overwritten (secure_delete), the search index is merged, which drops the
        words of deleted rows, and the write-ahead log is emptied. What a file system or an SSD
        keeps of overwritten blocks is beyond a program's reach.
        """
        conversation = self.conversation(conversation_id)
        with self._writing() as connection:
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
        with self._reading() as connection:
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
        with self._reading():
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
        with self._writing() as connection:
            connection.execute("INSERT INTO message_search(message_search) VALUES ('rebuild')")
        return find_words(self._connection, text, limit)

    def integrity(self) -> list[str]:
        """Check the whole file; return problems, none when it is sound."""
        try:
            with self._reading() as connection:
                rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
                problems = [str(row[0]) for row in rows if row[0] != "ok"]
                rows = connection.execute("PRAGMA foreign_key_check").fetchall()
                problems += [f"row {row[1]} of {row[0]} refers to a missing row" for row in rows]
        except StorageError as error:
            return [error.message]
        return problems

    def counts(self) -> tuple[int, int]:
        """Return the numbers of conversations and of messages."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM conversation), (SELECT count(*) FROM message)"
            ).fetchone()
        return int(row[0]), int(row[1])

    def _insert(
        self,
        connection: sqlite3.Connection,
        conversation_id: str,
        parent_id: str | None,
        *,
        role: Role,
        content: str,
        status: MessageStatus,
        model: str = "",
        options: dict[str, Any] | None = None,
    ) -> str:
        message_id, now = secrets.token_hex(8), timestamp()
        connection.execute(
            "INSERT INTO message (id, conversation_id, parent_id, role, content, status, created,"
            " updated, model, options, process) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (message_id, conversation_id, parent_id, role, storable(content), status, now, now,
             model, json.dumps(options or {}), os.getpid()),
        )  # fmt: skip
        connection.execute(
            "UPDATE conversation SET leaf_id = ?, updated = ? WHERE id = ?",
            (message_id, now, conversation_id),
        )
        return message_id
