"""A tiny handbook and an encoder that counts words: no weights."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assistant.conversation import HandbookEntry
from assistant.errors import ModelError
from assistant.handbook.entries import phrasings
from assistant.handbook.search import Handbook, HandbookSettings
from assistant.testing import ScriptedChatModel

WIDTH = 512

ENTRIES = [
    HandbookEntry(
        "acc-0001",
        "account/reset",
        "How do I reset my password?",
        "Open the sign-in page and press Forgot password.",
        ("password reset please", "forgot my password, how do I reset it"),
    ),
    HandbookEntry(
        "ord-0001", "order/late", "My parcel has not arrived", "Look at the tracking first.", ()
    ),
    HandbookEntry(
        "ord-0001.2",
        "order/late",
        "My parcel has not arrived tracking says delivered",
        "Ask your neighbours, then tell the shop.",
        (),
    ),
    HandbookEntry(
        "bil-0001", "billing/twice", "I was charged twice", "Wait a day: one may be a hold.", ()
    ),
]


class WordEncoder:
    """A bag of words: each word is hashed to a direction."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the normalised counts of the words, [WIDTH]."""
        self.asked.append(text)
        vector = np.zeros(WIDTH, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % WIDTH] += 1
        return vector / max(1e-6, float(np.linalg.norm(vector)))


def tiny_handbook(
    entries: list[HandbookEntry] | None = None,
    threshold: float = 0.3,
    margin: float = 0.5,
    shown: int = 2,
) -> Handbook:
    """The entries above, searched by their words."""
    encoder = WordEncoder()
    chosen = ENTRIES if entries is None else entries
    vectors = np.stack([encoder.encode(text) for entry in chosen for text in phrasings(entry)])
    return Handbook(chosen, vectors, encoder, HandbookSettings(threshold, margin, shown))


@dataclass
class ReadingModel(ScriptedChatModel):
    """A scripted model with a handbook."""

    use_handbook: bool = True
    handbook: Handbook = field(default_factory=tiny_handbook)
    broken: bool = False

    def find_entries(self, questions: Sequence[str]) -> list[tuple[HandbookEntry, float]]:
        """Search, or fail."""
        if self.broken:
            raise ModelError("The handbook is damaged")
        return [(found.entry, found.score) for found in self.handbook.find(questions)]
