"""Conversations on disk: stored as they happen, searchable, really deletable."""

from assistant.history.messages import ROOT
from assistant.history.records import (
    Conversation,
    MessageStatus,
    SearchHit,
    StoredMessage,
)
from assistant.history.search import snippet_parts
from assistant.history.store import History

__all__ = [
    "ROOT",
    "Conversation",
    "History",
    "MessageStatus",
    "SearchHit",
    "StoredMessage",
    "snippet_parts",
]
