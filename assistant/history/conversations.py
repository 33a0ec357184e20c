"""The conversations: begun, listed, named, pinned, set up."""

from __future__ import annotations

import json
import secrets
from typing import Any

from assistant.errors import BadInputError
from assistant.history.connection import Connection
from assistant.history.records import Conversation, conversation_from_row
from assistant.history.values import storable, timestamp
from assistant.text import sanitize_line

TITLE_LENGTH = 60

_CONVERSATIONS = """
    SELECT conversation.*,
           (SELECT count(*) FROM message WHERE conversation_id = conversation.id) AS message_count
    FROM conversation
"""


class Conversations(Connection):
    """The table of conversations."""

    def create_conversation(self, model: str, system_prompt: str) -> Conversation:
        """Store a new, empty conversation."""
        conversation_id, now = secrets.token_hex(8), timestamp()
        with self.writing() as connection:
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
        with self.reading() as connection:
            rows = connection.execute(
                _CONVERSATIONS + " WHERE id = ?", (conversation_id,)
            ).fetchall()
            if not rows:
                rows = connection.execute(
                    _CONVERSATIONS + " WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2",
                    (conversation_id,),
                ).fetchall()
        shown = sanitize_line(conversation_id, 40)
        if not conversation_id or not rows:
            raise BadInputError(
                f"There is no conversation {shown!r}", "`assistant history list` shows them"
            )
        if len(rows) > 1:
            raise BadInputError(
                f"Several conversations begin with {shown!r}", "Give more of the id"
            )
        return conversation_from_row(dict(rows[0]))

    def conversations(self, limit: int = 200, offset: int = 0) -> list[Conversation]:
        """Return conversations, pinned ones first, then the newest updated first."""
        with self.reading() as connection:
            rows = connection.execute(
                _CONVERSATIONS + " ORDER BY pinned DESC, updated DESC, rowid DESC LIMIT ? OFFSET ?",
                (limit, offset),
            ).fetchall()
        return [conversation_from_row(dict(row)) for row in rows]

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title; raises BadInputError when it is empty."""
        line = sanitize_line(title, TITLE_LENGTH)
        if not line:
            raise BadInputError("A title cannot be empty")
        self._set(conversation_id, "title", line)

    def latest(self) -> Conversation | None:
        """Return the conversation that was written to last, pinned or not."""
        with self.reading() as connection:
            row = connection.execute(
                _CONVERSATIONS + " ORDER BY updated DESC, rowid DESC LIMIT 1"
            ).fetchone()
        return None if row is None else conversation_from_row(dict(row))

    def pin(self, conversation_id: str, pinned: bool = True) -> None:
        """Keep a conversation at the top of the list, or let it go back to its day."""
        self._set(conversation_id, "pinned", int(pinned))

    def set_up(
        self,
        conversation_id: str,
        system_prompt: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Store how a conversation's next answers are made; None leaves as it is.

        Args:
            options: the ``GenerationOptions`` in which it differs from its model's.
        """
        if system_prompt is not None:
            self._set(conversation_id, "system_prompt", storable(system_prompt))
        if options is not None:
            self._set(conversation_id, "options", json.dumps(options))

    def _set(self, conversation_id: str, column: str, value: str | int) -> None:
        conversation = self.conversation(conversation_id)
        with self.writing() as connection:
            connection.execute(
                f"UPDATE conversation SET {column} = ? WHERE id = ?",  # noqa: S608 - ours
                (value, conversation.id),
            )
