"""The tree of messages: every write is committed when the call returns."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from assistant.conversation import Role
from assistant.errors import BadInputError, StorageError
from assistant.history.conversations import TITLE_LENGTH, Conversations
from assistant.history.records import MessageStatus, StoredMessage, message_from_row
from assistant.history.values import other_process_lives, stale_before, storable, timestamp
from assistant.text import sanitize_line

ROOT: Final = ""
"""As a parent: the place before the first message."""


class Messages(Conversations):
    """The messages of all conversations; each follows another, siblings are versions."""

    def __init__(self, path: Path | None) -> None:
        self._streaming: set[str] = set()
        # how answers ended whose end the disk refused: read from here, written when it takes it
        self._unstored: dict[str, dict[str, str]] = {}
        super().__init__(path)

    def close(self) -> None:
        """Close the connection; the history cannot be used afterwards."""
        with suppress(StorageError):
            self._store_ends()
        super().close()

    def recover(self) -> int:
        """Mark answers that a dead process left "streaming" as "interrupted"; return how many."""
        stale = stale_before()
        with self.writing() as connection:
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

    def messages(self, conversation_id: str) -> list[StoredMessage]:
        """Return the current branch, oldest first."""
        conversation = self.conversation(conversation_id)
        with self.reading() as connection:
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
        return [self._message(row) for row in rows]

    def all_messages(self, conversation_id: str) -> list[StoredMessage]:
        """Return the messages of all branches in the order they were written."""
        conversation = self.conversation(conversation_id)
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM message WHERE conversation_id = ? ORDER BY number",
                (conversation.id,),
            ).fetchall()
        return [self._message(row) for row in rows]

    def message(self, message_id: str) -> StoredMessage:
        """Return one message; raises BadInputError if there is none."""
        with self.reading() as connection:
            row = connection.execute("SELECT * FROM message WHERE id = ?", (message_id,)).fetchone()
        if row is None:
            raise BadInputError(f"There is no message {sanitize_line(message_id, 40)!r}")
        return self._message(row)

    def add_user_message(
        self, conversation_id: str, content: str, parent_id: str | None = None
    ) -> StoredMessage:
        """Store a person's message; it is committed on return.

        Args:
            parent_id: the message it follows; None appends to the current branch, ``ROOT``
                begins a new branch before the first message (an edited first question).
        """
        self._store_ends()
        conversation = self.conversation(conversation_id)
        if parent_id and self.message(parent_id).conversation_id != conversation.id:
            raise BadInputError("The message belongs to another conversation")
        with self.writing() as connection:
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
        with self.writing() as connection:
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
        self._store_ends()
        with self.writing() as connection:
            connection.execute(
                "UPDATE message SET status = 'streaming', error = '', process = ?, updated = ?"
                " WHERE id = ?",
                (os.getpid(), timestamp(), message_id),
            )
            self._streaming.add(message_id)
        return self.message(message_id)

    def update_answer(self, message_id: str, content: str) -> None:
        """Store what has been said so far."""
        with self.writing() as connection:
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
        """Store the answer as it ended; what the disk refuses is kept and stored later."""
        with self._lock:
            self._streaming.discard(message_id)
            self._unstored[message_id] = {
                "content": storable(content),
                "status": status,
                "statistics": json.dumps(statistics or {}),
                "error": storable(error),
            }
            self._store_ends()
        return self.message(message_id)

    def _store_ends(self) -> None:
        """Store how answers ended."""
        if not self._unstored:
            return
        with self.writing() as connection:
            for message_id, end in self._unstored.items():
                values = {**end, "now": timestamp(), "id": message_id}
                connection.execute(
                    "UPDATE message SET content = :content, status = :status, error = :error,"
                    " statistics = :statistics, updated = :now WHERE id = :id",
                    values,
                )
                connection.execute(
                    "UPDATE conversation SET updated = :now"
                    " WHERE id = (SELECT conversation_id FROM message WHERE id = :id)",
                    values,
                )
        self._unstored.clear()

    def _message(self, row: sqlite3.Row) -> StoredMessage:
        return message_from_row({**dict(row), **self._unstored.get(row["id"], {})})

    def siblings(self, message_id: str) -> list[StoredMessage]:
        """Return the versions of a message (itself among them), oldest first."""
        message = self.message(message_id)
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM message WHERE conversation_id = ? AND parent_id IS ?"
                " AND role = ? ORDER BY number",
                (message.conversation_id, message.parent_id, message.role),
            ).fetchall()
        return [self._message(row) for row in rows]

    def versions(self, conversation_id: str) -> dict[str, tuple[str, ...]]:
        """Return, for every message that has versions beside it, the ids of all of them.

        Editing a question and answering it again make versions; oldest first, itself among them.
        """
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT id, parent_id, role FROM message WHERE conversation_id = ? ORDER BY number",
                (conversation_id,),
            ).fetchall()
        groups: dict[tuple[str | None, str], list[str]] = {}
        for row in rows:
            groups.setdefault((row["parent_id"], row["role"]), []).append(row["id"])
        return {i: tuple(ids) for ids in groups.values() if len(ids) > 1 for i in ids}

    def recent_questions(self, limit: int = 200) -> list[str]:
        """Return what people asked last in any conversation, the newest first, each once."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT content FROM message WHERE role = 'user' ORDER BY number DESC LIMIT ?",
                (2 * limit,),
            ).fetchall()
        return list(dict.fromkeys(row["content"] for row in rows))[:limit]

    def select(self, message_id: str) -> None:
        """Make the branch through a message the current one, down to its newest descendant."""
        message = self.message(message_id)
        with self.writing() as connection:
            children = "SELECT id FROM message WHERE parent_id = ? ORDER BY number DESC LIMIT 1"
            leaf = message.id
            while row := connection.execute(children, (leaf,)).fetchone():
                leaf = row["id"]
            connection.execute(
                "UPDATE conversation SET leaf_id = ? WHERE id = ?", (leaf, message.conversation_id)
            )

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
