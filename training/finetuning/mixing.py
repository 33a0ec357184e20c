"""Which sources an epoch reads, and how often; plain text among the dialogues.

Text mixed in keeps a model from forgetting what it read before: its loss counts every token, as
in pretraining.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from assistant.tokenizer import END_OF_TEXT, Tokenizer
from training.data.broken import Broken
from training.data.sources import documents, find_files, sources_there
from training.finetuning.conversations import Example


def passes(weight: float, draw: random.Random) -> int:
    """Return how often an item is read in this epoch; the fraction of a weight is a chance."""
    return int(weight) + (draw.random() < weight % 1)


def check_weights(weights: Mapping[str, float], sources: Collection[str]) -> None:
    """Refuse weights that can mean nothing.

    Raises:
        ValueError: a weight is negative, or names a source that is not there.
    """
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"weights.{name} = {weight}: expected 0 or more passes")
        if name not in sources:
            there = sources_there(name, sources)
            raise ValueError(f"weights name a source that is not there: {name}{there}")


def text_examples(text: str, tokenizer: Tokenizer, length: int) -> list[Example]:
    """Encode a document behind a BOS id, cut into rows of at most ``length`` tokens.

    Each token but the first is predicted once: a row begins with the last token of the one before.
    """
    ids = [tokenizer.special(END_OF_TEXT), *tokenizer.encode(text)]
    rows = (ids[start : start + length] for start in range(0, len(ids) - 1, length - 1))
    return [Example(tuple(row), (1,) * len(row)) for row in rows]


class PlainTexts:
    """Documents of text files, by source.

    Args:
        paths: files or folders, read as by ``training prepare``.
        length: tokens of a row.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
    """

    def __init__(
        self, paths: Sequence[str], tokenizer: Tokenizer, length: int, broken: Broken
    ) -> None:
        self.tokenizer, self.length = tokenizer, length
        files = find_files([Path(path) for path in paths]) if paths else []
        self.files = files
        self._documents = [(d.origin, d.text) for d in documents(files, broken) if d.text]

    @property
    def sources(self) -> set[str]:
        """Their names."""
        return {source for source, _ in self._documents}

    def __call__(self, weights: Mapping[str, float], draw: random.Random) -> list[Example]:
        """Return an epoch's examples."""
        found: list[Example] = []
        for source, text in self._documents:
            for _ in range(passes(weights.get(source, 1.0), draw)):
                found += text_examples(text, self.tokenizer, self.length)
        return found
