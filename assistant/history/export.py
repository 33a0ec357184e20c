"""Conversations as Markdown, plain text or JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

from assistant.history.records import Conversation, StoredMessage
from assistant.history.store import History
from assistant.text import sanitize, sanitize_line

Form = Literal["markdown", "json", "text"]
SUFFIXES: dict[Form, str] = {"markdown": ".md", "json": ".json", "text": ".txt"}
SPEAKERS = {"user": "You", "assistant": "Frontdesk", "system": "System"}
_NOTES = {
    "stopped": "stopped",
    "interrupted": "interrupted",
    "failed": "failed",
    "streaming": "not finished",
}


def as_json(history: History, conversation_id: str) -> dict[str, Any]:
    """Return everything stored of a conversation: all branches, and which is the current one."""
    conversation = history.conversation(conversation_id)
    return {
        **dataclasses.asdict(conversation),
        "messages": [dataclasses.asdict(m) for m in history.all_messages(conversation.id)],
        "current_branch": [m.id for m in history.messages(conversation.id)],
    }


def as_markdown(history: History, conversation_id: str) -> str:
    """Return the current branch as Markdown, without control characters."""
    conversation = history.conversation(conversation_id)
    title = conversation.title or "Empty conversation"
    head = [f"# {title}", _origin(conversation)]
    body = [
        f"## {heading(message)}\n\n{sanitize(message.content).strip()}"
        for message in history.messages(conversation.id)
    ]
    return "\n\n".join(head + body) + "\n"


def heading(message: StoredMessage) -> str:
    """Return who says a message, and how it ended if not by itself."""
    speaker = SPEAKERS[message.role]
    mark = _NOTES.get(message.status)
    return f"{speaker} ({mark})" if mark else speaker


def as_text(conversation: Conversation, messages: list[StoredMessage]) -> str:
    """Return a conversation as plain text for a terminal."""
    title = conversation.title or "Empty conversation"
    head = f"{title}\n{conversation.id} · {_origin(conversation)}"
    parts = [f"{heading(m)}:\n{sanitize(m.content).strip()}" for m in messages]
    return "\n\n".join([head, *parts])


def exported(history: History, conversation_id: str, form: Form) -> str:
    """Return one conversation in a form; JSON is a list, as ``import_json`` reads it."""
    if form == "json":
        return json.dumps([as_json(history, conversation_id)], indent=2, ensure_ascii=False) + "\n"
    if form == "markdown":
        return as_markdown(history, conversation_id)
    conversation = history.conversation(conversation_id)
    return as_text(conversation, history.messages(conversation.id)) + "\n"


def _origin(conversation: Conversation) -> str:
    return f"{local_time(conversation.created)} · {sanitize_line(conversation.model)}"


def local_time(moment: str) -> str:
    """Return an ISO 8601 moment as local date and time, to the minute."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return moment
