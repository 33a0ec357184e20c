"""Reading back what ``export`` wrote as JSON: whole conversations with all their branches."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from assistant.conversation import ROLES
from assistant.errors import BadInputError
from assistant.history.conversations import TITLE_LENGTH
from assistant.history.records import MessageStatus
from assistant.history.store import History
from assistant.history.values import storable
from assistant.text import sanitize_line

STATUSES = get_args(MessageStatus)


@dataclass(frozen=True)
class Imported:
    """What became of an import.

    Attributes:
        ids: of the conversations that were added.
        known: how many were there already and stayed as they are.
    """

    ids: tuple[str, ...]
    known: int


def import_json(history: History, text: str) -> Imported:
    """Add the conversations of an export; all of them or, when one is wrong, none.

    Raises:
        BadInputError: it is no JSON or no export; says where.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"This is no JSON ({error})", _HINT) from error
    items = data if isinstance(data, list) else [data]
    rows = [_read_conversation(item, f"conversation {n}") for n, item in enumerate(items, 1)]
    added: list[str] = []
    known = 0
    with history.writing() as connection:
        for conversation, messages in rows:
            if connection.execute(
                "SELECT 1 FROM conversation WHERE id = ?", (conversation["id"],)
            ).fetchone():
                known += 1
                continue
            names = _free_names(connection, messages)
            conversation["leaf_id"] = names.get(conversation["leaf_id"] or "")
            for message in messages:
                message["id"] = names[message["id"]]
                message["parent_id"] = names.get(message["parent_id"] or "")
            for table, records in (("conversation", [conversation]), ("message", messages)):
                for record in records:
                    columns = ", ".join(record)
                    marks = ", ".join("?" * len(record))
                    connection.execute(
                        f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - ours
                        tuple(record.values()),
                    )
            added.append(conversation["id"])
    return Imported(tuple(added), known)


_HINT = "Give a file that `assistant history export --format json` wrote"


def _free_names(connection: Any, messages: list[dict[str, Any]]) -> dict[str, str]:
    """Map each message's id to itself, or to a new one where another message has it."""
    names = {}
    for message in messages:
        taken = connection.execute("SELECT 1 FROM message WHERE id = ?", (message["id"],))
        names[message["id"]] = secrets.token_hex(8) if taken.fetchone() else message["id"]
    return names


def _read_conversation(item: Any, place: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if not isinstance(item, dict) or not isinstance(item.get("messages"), list):
        raise BadInputError(f"{place} has no messages", _HINT)
    conversation_id = _text(item, "id", place)
    if not conversation_id:
        raise BadInputError(f"{place} has no id", _HINT)
    messages: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, message in enumerate(item["messages"], 1):
        where = f"{place}, message {number}"
        record = _read_message(message, conversation_id, where)
        if record["id"] in seen or (record["parent_id"] and record["parent_id"] not in seen):
            raise BadInputError(f"{where} does not follow an earlier one", _HINT)
        seen.add(record["id"])
        messages.append(record)
    branch = item.get("current_branch") or [message["id"] for message in messages]
    leaf = branch[-1] if isinstance(branch, list) and branch else None
    if leaf is not None and leaf not in seen:
        raise BadInputError(f"{place}: its current branch ends in an unknown message", _HINT)
    conversation = {
        "id": conversation_id,
        "title": sanitize_line(_text(item, "title", place), TITLE_LENGTH),
        "created": _moment(item, "created", place),
        "updated": _moment(item, "updated", place),
        "model": _text(item, "model", place),
        "system_prompt": _text(item, "system_prompt", place),
        "pinned": int(item.get("pinned") is True),
        "options": json.dumps(_object(item, "options", place)),
        "leaf_id": leaf,
    }
    return conversation, messages


def _read_message(item: Any, conversation_id: str, place: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise BadInputError(f"{place} is no object", _HINT)
    role, status = _text(item, "role", place), _text(item, "status", place)
    if role not in ROLES or status not in STATUSES:
        raise BadInputError(f"{place} has an unknown role or status", _HINT)
    created = _moment(item, "created", place)
    return {
        "id": _text(item, "id", place),
        "conversation_id": conversation_id,
        "parent_id": _text(item, "parent_id", place) or None,
        "role": role,
        "content": _text(item, "content", place),
        # what was being said when it was exported is said by nobody here
        "status": "interrupted" if status == "streaming" else status,
        "created": created,
        "updated": created,
        "model": _text(item, "model", place),
        "options": json.dumps(_object(item, "options", place)),
        "statistics": json.dumps(_object(item, "statistics", place)),
        "error": _text(item, "error", place),
    }


def _text(item: dict[str, Any], name: str, place: str) -> str:
    value = item.get(name) or ""
    if not isinstance(value, str):
        raise BadInputError(f"{place}: {name} is no text", _HINT)
    return storable(value)


def _object(item: dict[str, Any], name: str, place: str) -> dict[str, Any]:
    value = item.get(name) or {}
    if not isinstance(value, dict):
        raise BadInputError(f"{place}: {name} is no object", _HINT)
    return value


def _moment(item: dict[str, Any], name: str, place: str) -> str:
    try:
        moment = datetime.fromisoformat(_text(item, name, place))
    except ValueError as error:
        raise BadInputError(f"{place}: {name} is no moment (ISO 8601)", _HINT) from error
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
