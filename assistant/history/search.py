"""Full-text search: any string a person types is a safe query."""

from __future__ import annotations

import sqlite3
from typing import Any

from assistant.text import sanitize

HIT_START, HIT_END = "\x02", "\x03"
MOST_RANKED = 5_000  # of the newest matches: a word that is everywhere tells little
_AROUND = 60  # characters of context on each side in the fallback's snippet

_HIT_COLUMNS = """
    message.conversation_id, message.id AS message_id, conversation.title, message.role,
    message.created
"""


def match_query(text: str) -> str:
    """Turn what a person typed into an FTS5 query: all words, the last one as a prefix.

    Each word becomes a quoted string (https://www.sqlite.org/fts5.html#fts5_strings), so no
    operator of the query language can be typed, by accident or otherwise.
    """
    words = ['"' + word.replace('"', '""') + '"' for word in text.split()]
    return " ".join(words) + "*" if words else ""


def has_symbols(text: str) -> bool:
    """Whether the text holds signs that the index drops and a person means ("C++", "50%")."""
    return any(not (c.isalnum() or c.isspace() or c in "'\"’.,;:?!-") for c in text)


def find_words(connection: sqlite3.Connection, text: str, limit: int) -> list[dict[str, Any]]:
    """Find messages that hold all the words, best first (BM25)."""
    # The best are chosen first: a snippet of every match would have to be made otherwise.
    rows = connection.execute(
        f"""
        WITH oldest AS MATERIALIZED (
            SELECT coalesce(max(number), 0) AS number FROM (
                SELECT rowid AS number FROM message_search
                WHERE message_search MATCH ?3 ORDER BY rowid DESC LIMIT 1 OFFSET ?5
            )
        ),
        best AS MATERIALIZED (
            SELECT rowid AS number, rank AS score FROM message_search
            WHERE message_search MATCH ?3 AND rowid > (SELECT number FROM oldest)
            ORDER BY rank LIMIT ?4
        )
        SELECT {_HIT_COLUMNS},
               snippet(message_search, 0, ?1, ?2, '…', 24) AS snippet
        FROM best
        JOIN message_search ON message_search.rowid = best.number
        JOIN message ON message.number = best.number
        JOIN conversation ON conversation.id = message.conversation_id
        WHERE message_search MATCH ?3 ORDER BY best.score, best.number DESC
        """,  # noqa: S608 - the columns are a constant
        (HIT_START, HIT_END, match_query(text), limit, MOST_RANKED),
    )
    return _as_dicts(rows)


def find_passage(connection: sqlite3.Connection, text: str, limit: int) -> list[dict[str, Any]]:
    """Find messages that hold the text as it is, newest first.

    For what the tokenizer has no words for: "C++", parts of words, scripts without spaces.
    """
    pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = connection.execute(
        f"""
        SELECT {_HIT_COLUMNS}, message.content AS snippet
        FROM message JOIN conversation ON conversation.id = message.conversation_id
        WHERE message.content LIKE ? ESCAPE '\\' ORDER BY message.number DESC LIMIT ?
        """,  # noqa: S608 - the columns are a constant
        (f"%{pattern}%", limit),
    )
    hits = _as_dicts(rows)
    for hit in hits:
        hit["snippet"] = _passage(hit["snippet"], text)
    return hits


def _passage(content: str, text: str) -> str:
    at = content.lower().find(text.lower())
    if at < 0:
        return content[: 2 * _AROUND]
    end = at + len(text)
    before = ("…" if at > _AROUND else "") + content[max(0, at - _AROUND) : at]
    after = content[end : end + _AROUND] + ("…" if len(content) > end + _AROUND else "")
    return f"{before}{HIT_START}{content[at:end]}{HIT_END}{after}"


def snippet_parts(snippet: str) -> list[tuple[str, bool]]:
    """Split a hit's snippet into safe one-line pieces and whether each is a hit."""
    parts: list[tuple[str, bool]] = []
    for number, piece in enumerate(snippet.split(HIT_START)):
        hit, _, rest = piece.rpartition(HIT_END) if number else ("", "", piece)
        parts += [(hit, True), (rest, False)]
    return [(sanitize(t).replace("\n", " ").replace("\t", " "), hit) for t, hit in parts if t]


def _as_dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
