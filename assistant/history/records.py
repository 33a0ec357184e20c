"""What the history hands out: frozen rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from assistant.conversation import Role

MessageStatus = Literal["complete", "streaming", "stopped", "interrupted", "failed"]


@dataclass(frozen=True)
class Conversation:
    """One conversation, as a list shows it.

    Attributes:
        title: the first question on one line; "" until there is one.
        created: ISO 8601, UTC.
        updated: ISO 8601, UTC; when its last message was written.
        model: name of the bundle it was started with.
        message_count: messages of all branches.
        pinned: whether it stays at the top of the list.
        options: the ``GenerationOptions`` in which it differs from its model's.
    """

    id: str
    title: str
    created: str
    updated: str
    model: str
    system_prompt: str
    message_count: int
    pinned: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredMessage:
    """One message of the tree.

    Attributes:
        parent_id: the message it follows; None for a first question.
        status: "streaming" while it is being said, "stopped" by the person, "interrupted" by the
            end of the program, "failed" by an error.
        model: name of the bundle that said it; "" for a person's message.
        options: the ``GenerationOptions`` it was sampled with.
        statistics: what the ``Completion`` reported.
        error: one line, when it failed.
    """

    id: str
    conversation_id: str
    parent_id: str | None
    role: Role
    content: str
    status: MessageStatus
    created: str
    model: str
    options: dict[str, Any]
    statistics: dict[str, Any]
    error: str


@dataclass(frozen=True)
class SearchHit:
    """A message found by full-text search.

    Attributes:
        snippet: the passage around the hits, each hit between STX (``\\x02``) and ETX
            (``\\x03``); ``snippet_parts`` splits it.
    """

    conversation_id: str
    message_id: str
    title: str
    role: Role
    snippet: str
    created: str


def conversation_from_row(row: dict[str, Any]) -> Conversation:
    """Build a Conversation from a row that carries ``message_count``."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        created=row["created"],
        updated=row["updated"],
        model=row["model"],
        system_prompt=row["system_prompt"],
        message_count=row["message_count"],
        pinned=bool(row["pinned"]),
        options=json.loads(row["options"]),
    )


def message_from_row(row: dict[str, Any]) -> StoredMessage:
    """Build a StoredMessage from a row of the message table."""
    return StoredMessage(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=row["parent_id"],
        role=cast(Role, row["role"]),
        content=row["content"],
        status=cast(MessageStatus, row["status"]),
        created=row["created"],
        model=row["model"],
        options=json.loads(row["options"]),
        statistics=json.loads(row["statistics"]),
        error=row["error"],
    )
