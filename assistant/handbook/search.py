"""The entries that fit a question best.

Shapes: P phrasings of all entries, N entries, E width of the encoder's vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.conversation import HandbookEntry
from assistant.errors import ModelError
from assistant.handbook.encoder import OnnxTextEncoder, TextEncoder
from assistant.handbook.entries import item_of, phrasings, read_entries
from assistant.handbook.judging import SecondLook, SentenceJudge
from assistant.handbook.passages import PassageReader, PassageSettings
from assistant.handbook.query import search_text
from assistant.tokenizer import Tokenizer, TokenizerSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


SMALL_TALK = "chat/"
"""How the topics of entries begin that answer greetings, thanks and the like."""


@dataclass(frozen=True)
class HandbookSettings:
    """What decides whether an entry is shown to the model.

    Attributes:
        threshold: least score, the cosine of a question and an entry's closest phrasing.
        margin: an entry whose score is lower than the best one's by more is left out.
        entries: most entries shown.
    """

    threshold: float
    margin: float
    entries: int = 2


@dataclass(frozen=True)
class Found:
    """An entry and how close it is, a cosine in [-1, 1]."""

    entry: HandbookEntry
    score: float


class Handbook:
    """Entries, the vectors of their phrasings, and the encoder of questions."""

    def __init__(
        self,
        entries: Sequence[HandbookEntry],
        vectors_PE: NDArray[np.floating[Any]],
        encoder: TextEncoder,
        settings: HandbookSettings,
        passages: PassageSettings | None = None,
        look: SecondLook | None = None,
    ) -> None:
        """Raise ModelError when there is not one vector for each phrasing.

        Args:
            look: judges the sentences of notes.
        """
        self.entries, self.encoder, self.settings = list(entries), encoder, settings
        counts = [len(phrasings(entry)) for entry in self.entries]
        if not counts or vectors_PE.ndim != 2 or len(vectors_PE) != sum(counts):
            raise ModelError(
                f"The handbook has {sum(counts)} phrasings but vectors of shape {vectors_PE.shape}"
            )
        self.vectors_PE = np.ascontiguousarray(vectors_PE, dtype=np.float32)
        self.starts_N = np.cumsum([0, *counts[:-1]])
        self.reader = PassageReader(encoder.encode, passages or PassageSettings(), look=look)

    @classmethod
    def load(cls, directory: Path, facts: Mapping[str, Any]) -> Handbook:
        """Open a handbook's files; hashes are the bundle's business.

        Args:
            facts: the ``handbook`` object of bundle.json or handbook.json.

        Raises:
            ModelError: a file is missing, damaged, or does not fit the others.
        """
        try:
            files = {name: directory / str(file) for name, file in facts["files"].items()}
            settings = HandbookSettings(
                float(facts["threshold"]), float(facts["margin"]), int(facts["entries"])
            )
            passages = PassageSettings(**facts.get("passages", {}))
            tokenizer = Tokenizer.load(directory, TokenizerSpec.from_json(facts["tokenizer"]))
            entries = read_entries(files["entries"])
            vectors = np.load(files["vectors"], allow_pickle=False)
            encoder = OnnxTextEncoder(files["graph"], tokenizer, int(facts["max_tokens"]))
            look = None
            if "judge" in files:
                look = SecondLook(encoder, SentenceJudge(files["judge"]))
            if look is not None and not encoder.reads_tokens:
                raise ValueError("its encoder tells no states of tokens")
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"The handbook in {directory} is damaged ({error!r})") from error
        return cls(entries, vectors, encoder, settings, passages, look)

    def scores(self, vector_E: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each entry's score: that of its closest phrasing, [N]."""
        similarity_P = self.vectors_PE @ vector_E
        return np.maximum.reduceat(similarity_P, self.starts_N)

    def rank(self, scores_N: NDArray[np.float32]) -> list[Found]:
        """Return the entries worth showing, best first; none when none is close enough.

        Of one dialogue's entries only the best is shown: its other turns repeat it.
        """
        floor = max(self.settings.threshold, float(scores_N.max()) - self.settings.margin)
        found: dict[str, Found] = {}
        for index in np.argsort(-scores_N, kind="stable"):
            if scores_N[index] < floor or len(found) >= self.settings.entries:
                break
            entry = self.entries[index]
            found.setdefault(item_of(entry.id), Found(entry, float(scores_N[index])))
        return list(found.values())

    def find(self, questions: Sequence[str]) -> list[Found]:
        """Return the entries for the last of a person's messages; see ``search_text``.

        Raises:
            ModelError: the encoder failed.
        """
        text = search_text(questions)
        if not text.strip():
            return []
        last = " ".join(questions[-1].split())
        if last != text:  # "thanks, that worked" is about nothing that was asked before
            alone = self.rank(self.scores(self.encoder.encode(last)))
            if alone and alone[0].entry.topic.startswith(SMALL_TALK):
                return alone[:1]
        return self.rank(self.scores(self.encoder.encode(text)))
