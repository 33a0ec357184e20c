"""Which windows of a long text are read: all, unless the verdict is beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.engine.classifier import OnnxClassifier
from assistant.engine.windows import Windows
from assistant.tokenizer import Tokenizer


class _Words:
    """A tokenizer for which a word is a number: what it adds to the margin of its window."""

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def special(self, name: str) -> int:
        return 0


class _Adding(OnnxClassifier):
    """The classifier with sums in place of a graph."""

    def __init__(self) -> None:
        self.tokenizer = cast("Tokenizer", _Words())
        self.windows = Windows(256, 255, 0.75, 48, later_penalty=1.0)
        self._threshold, self._temperature, self._bias = 0.9, 1.0, -6.0
        self.read = 0

    def _read(
        self, windows: Sequence[Sequence[int]], width: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        self.read += sum(len(window) for window in windows)
        margins = np.array([float(sum(window)) for window in windows])
        return margins, np.zeros((len(windows), width), np.float32)


def text_with(length: int, **marks: int) -> str:
    """Return a text of zeros, with ``marks`` = {"at150": 9} in it."""
    words = ["0"] * length
    for place, value in marks.items():
        words[int(place[2:])] = str(value)
    return "0 0\n\n" + " ".join(words)


def test_what_is_clear_from_beginning_to_end_is_only_skimmed() -> None:
    classifier = _Adding()
    (score,) = classifier.score([text_with(3000)])
    assert len(score.windows) == 1
    assert score.probability == pytest.approx(1 / (1 + np.exp(6)))
    assert score.tokens == classifier.read < 256 + 3 * 70


def test_a_suspicious_passage_has_the_whole_text_read() -> None:
    classifier = _Adding()
    # a sixth into the middle; 5 makes the passage suspicious, the 15 beside it convicts
    (score,) = classifier.score([text_with(3000, at647=5, at700=15)])
    assert len(score.windows) > 10
    assert score.probability > 0.9
    assert score.tokens == classifier.read


def test_what_is_not_clear_at_first_is_read_to_the_end() -> None:
    (score,) = _Adding().score([text_with(3000, at10=3, at2000=15)])
    assert len(score.windows) > 10
    assert score.probability > 0.9


def test_what_is_convicted_at_first_is_not_read_on() -> None:
    classifier = _Adding()
    (score,) = classifier.score([text_with(3000, at10=12)])
    assert len(score.windows) == 1
    assert score.tokens == classifier.read == 256


def test_texts_of_all_kinds_keep_their_order() -> None:
    texts = [
        text_with(3000),
        text_with(3, at1=9),
        text_with(3000, at647=5, at700=15),
        text_with(2500),
        text_with(2000, at10=12),
    ]
    together = _Adding().score(texts)
    assert together == [_Adding().score([text])[0] for text in texts]
