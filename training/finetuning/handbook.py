"""Chat examples whose last question carries handbook entries, found as the product finds them.

An item's own entry is among the candidates in a share of the examples, so that the model learns
to take an answer that fits; in the others it is not, so that it learns to judge.

Shapes: P phrasings of all N entries, C of them searched for at once, E width of the vectors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.conversation import HandbookEntry, Message, handbook_question
from assistant.handbook.entries import item_of, phrasings
from assistant.handbook.query import search_text
from assistant.handbook.search import Handbook


@dataclass(frozen=True)
class HandbookConfig:
    """Settings of the entries in front of questions."""

    folder: str = ""
    """A folder that `training handbook build` wrote; none: questions stand alone."""
    share: float = 0.7
    """Share of the dialogues whose questions carry entries; each answer of a longer one is then
    an example of its own."""
    self_share: float = 0.5
    """Share of those whose own entry may be found; it is left out of the search in the others."""
    entries: int = 2
    """Most entries of a question."""


CHUNK = 256
"""Phrasings searched for at once."""
Candidates = list[tuple[int, float]]
"""Entries by number, with their scores."""
Prompted = tuple[tuple[Message, ...], bool]
"""A conversation, and whether its last answer alone is to be learned."""


class HandbookExamples:
    """Puts entries in front of questions.

    Args:
        handbook: its own threshold and margin decide, as they will in the product.
    """

    def __init__(self, handbook: Handbook, config: HandbookConfig) -> None:
        self.config = config
        settings = replace(handbook.settings, entries=config.entries)
        self.handbook = Handbook(handbook.entries, handbook.vectors_PE, handbook.encoder, settings)
        self._items = np.array([item_of(entry.id) for entry in handbook.entries])
        self._numbers = {entry.id: number for number, entry in enumerate(handbook.entries)}
        self._texts: list[str] = []
        owners: list[int] = []
        for number, entry in enumerate(handbook.entries):
            for text in phrasings(entry):
                self._texts.append(" ".join(text.split()))
                owners.append(number)
        self._owner_P = np.array(owners)
        self._others: dict[tuple[str, str], Candidates] = {}
        self._own: dict[tuple[str, int], float] = {}
        self._search_all()

    def prompted(
        self, key: str, messages: Sequence[Message], draw: random.Random
    ) -> list[Prompted]:
        """Return a dialogue as it is, or once for each answer, with entries; by chance.

        Args:
            key: of the dialogue; tells which entries are its own.
            messages: may begin with a system prompt.
        """
        if draw.random() >= self.config.share:
            return [(tuple(messages), False)]
        return [
            self._turn(key, messages, end, draw.random() < self.config.self_share)
            for end in self._answers(messages)
        ]

    def as_asked(self, key: str, messages: Sequence[Message]) -> list[Prompted]:
        """Return a dialogue once for each answer, with the entries the product would find."""
        return [self._turn(key, messages, end, True) for end in self._answers(messages)]

    @staticmethod
    def _answers(messages: Sequence[Message]) -> list[int]:
        return [n for n, message in enumerate(messages) if message.role == "assistant"]

    def _turn(self, key: str, messages: Sequence[Message], end: int, own: bool) -> Prompted:
        """Cut a dialogue behind the answer at ``end``, entries in front of its question."""
        questions = [message.content for message in messages[:end] if message.role == "user"]
        turn = len(questions)
        own_entry = (key if turn == 1 else f"{key}.{turn}") if own else ""
        entries = self._entries(search_text(questions), key, own_entry)
        asked = Message("user", handbook_question(questions[-1], entries))
        return (*messages[: end - 1], asked, messages[end]), True

    def _entries(self, text: str, item: str, own_entry: str) -> list[HandbookEntry]:
        if (text, item) not in self._others:
            vector = self.handbook.encoder.encode(text)
            similarity_1P = (self.handbook.vectors_PE @ vector)[None]
            own_1P = np.array([self._items[self._owner_P] == item])
            self._others[text, item] = self._best(similarity_1P, own_1P)[0]
        candidates = list(self._others[text, item])
        number = self._numbers.get(own_entry, -1)
        if (text, number) in self._own:
            candidates.append((number, self._own[text, number]))
        scores_N = np.full(len(self.handbook.entries), -1, np.float32)
        for index, score in candidates:
            scores_N[index] = score
        return [found.entry for found in self.handbook.rank(scores_N)]

    def _search_all(self) -> None:
        """Search for every phrasing of the handbook at once: that is what training asks."""
        vectors_PE, items_P = self.handbook.vectors_PE, self._items[self._owner_P]
        texts_P = np.array(self._texts)
        alone: list[tuple[str, int]] = []
        for start in range(0, len(texts_P), CHUNK):
            chosen = slice(start, start + CHUNK)
            similarity_CP = vectors_PE[chosen] @ vectors_PE.T
            own_CP = items_P[chosen, None] == items_P
            for row, place in enumerate(range(*chosen.indices(len(texts_P)))):
                number = int(self._owner_P[place])
                mine = np.flatnonzero(self._owner_P == number)
                # nobody words a question as it is written: other phrasings must find the entry
                others = mine[texts_P[mine] != texts_P[place]]
                if len(others):
                    score = float(similarity_CP[row, others].max())
                    self._own[self._texts[place], number] = score
                else:
                    alone.append((self._texts[place], number))
            best = self._best(similarity_CP, own_CP)
            for place, candidates in zip(range(start, start + CHUNK), best, strict=False):
                self._others[self._texts[place], str(items_P[place])] = candidates
        # an entry worded in one way only is as near as entries usually are to their rewordings
        usual = float(np.mean(list(self._own.values()))) if self._own else 1.0
        self._own |= dict.fromkeys(alone, usual)

    def _best(
        self, similarity_CP: NDArray[np.float32], own_CP: NDArray[np.bool_]
    ) -> list[Candidates]:
        """Return the best entries for each of C texts, those of the text's own item left out."""
        similarity_CP[own_CP] = -1
        scores_CN = np.maximum.reduceat(similarity_CP, self.handbook.starts_N, axis=1)
        # one entry an item is shown: a few more candidates than entries
        count = min(4 * self.config.entries, scores_CN.shape[1])
        best_CK = np.argpartition(-scores_CN, count - 1, axis=1)[:, :count]
        return [
            [(int(n), float(scores_N[n])) for n in best]
            for best, scores_N in zip(best_CK, scores_CN, strict=True)
        ]


def open_examples(config: HandbookConfig) -> HandbookExamples | None:
    """Open the handbook of a config; None when it names none.

    Raises:
        ValueError, ModelError: the folder holds no sound handbook.
    """
    if not config.folder:
        return None
    from training.handbook.build import open_handbook

    return HandbookExamples(open_handbook(Path(config.folder)), config)
