"""From a JSON object to the text of a document, in the layouts that data sets come in."""

from __future__ import annotations

from typing import Any

ROLES = {"system", "user", "assistant", "tool", "developer"}
SHAREGPT_ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant"}


def document_text(row: Any) -> str:
    """Return the text of a JSON row, parts of it separated by an empty line.

    Read are ``text``; a chat's ``messages`` (role, content; its notes in ``context`` first) or
    ShareGPT's ``conversations`` (from, value); ``instruction``, ``input`` and ``output``;
    ``prompt`` and ``completion`` (or ``response``); ``question`` and ``answer``; a mail's
    ``body`` with its subject.

    Raises:
        ValueError: it has none of them, a role is unknown, or they are not strings.
    """
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    parts = _parts(row)
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("its text is not a string")
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _parts(row: dict[str, Any]) -> list[Any]:
    if "text" in row:
        return [row["text"]]
    if "messages" in row:
        return _notes(row) + _turns(row["messages"], "messages", "role", "content")
    if "conversations" in row:
        return _turns(row["conversations"], "conversations", "from", "value")
    for keys in (
        ("instruction", "input", "output"),
        ("prompt", "completion"),
        ("prompt", "response"),
        ("question", "answer"),
    ):
        if keys[0] in row and keys[-1] in row:
            return [row.get(key) or "" for key in keys]
    if "body" in row:
        headers = row.get("headers")
        subject = headers.get("Subject") if isinstance(headers, dict) else row.get("subject")
        return [subject or "", row["body"]]
    raise ValueError("has neither text, messages nor body")


def _notes(row: dict[str, Any]) -> list[Any]:
    notes = row.get("context") or []
    return [n.get("text") for n in notes if isinstance(n, dict)] if isinstance(notes, list) else []


def _turns(turns: Any, name: str, role: str, content: str) -> list[Any]:
    if not isinstance(turns, list):
        raise ValueError(f"{name} is not a list")
    known = ROLES if role == "role" else SHAREGPT_ROLES.keys()
    found = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise ValueError(f"{name} holds something that is no object")
        if turn.get(role, "user") not in known:
            raise ValueError(f"unknown role {turn.get(role)!r}")
        found.append(turn.get(content))
    return found


def licence_of(row: dict[str, Any]) -> str:
    """Return what a row says of its licence, in either spelling, or nothing."""
    return str(row.get("license") or row.get("licence") or "")
