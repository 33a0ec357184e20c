"""Which windows of a long text are read: all, unless the verdict is beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.engine.classifier import OnnxClassifier
from assistant.engine.windows import GLANCED, SKIMMED_TOKENS, WORTH_A_GLANCE, Windows
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


GLANCE = sum(GLANCED) + 1


@pytest.mark.parametrize("length", [150, 240])
def test_a_glance_is_enough_for_what_is_clear(length: int) -> None:
    classifier = _Adding()
    (score,) = classifier.score_quickly([text_with(length)])
    assert score.probability == pytest.approx(1 / (1 + np.exp(6)))
    assert score.tokens == classifier.read == GLANCE


def test_a_glance_is_enough_for_what_is_surely_convicted() -> None:
    classifier = _Adding()
    (score,) = classifier.score_quickly([text_with(3000, at10=9)])
    assert score.probability == pytest.approx(1 / (1 + np.exp(-3)))
    assert score.tokens == classifier.read == GLANCE


def test_what_is_just_convicted_is_read() -> None:
    classifier = _Adding()
    classifier._bias = -5.5  # 8 - 5.5 is above the threshold's 2.2, but by less than a half
    text = text_with(200, at10=8)
    (score,) = classifier.score_quickly([text])
    assert score.tokens == classifier.read == GLANCE + 203
    assert score.windows == classifier.score([text])[0].windows


@pytest.mark.parametrize("place", ["at10", "at100", "at195"])
def test_a_glance_sees_beginning_middle_and_end(place: str) -> None:
    (score,) = _Adding().score_quickly([text_with(200, **{place: 20})])
    assert score.probability > 0.99
    assert score.tokens == GLANCE


def test_after_a_clear_glance_passages_of_a_long_text_are_skimmed() -> None:
    classifier = _Adding()
    (score,) = classifier.score_quickly([text_with(3000)])
    assert len(score.windows) == 1
    assert score.tokens == classifier.read == GLANCE + 3 * (2 + SKIMMED_TOKENS + 1)


@pytest.mark.parametrize("place", ["at530", "at1490", "at2470"])
def test_a_suspicious_passage_after_a_glance_has_the_text_read(place: str) -> None:
    text = text_with(3000, at2000=15, **{place: 6})
    (score,) = _Adding().score_quickly([text])
    assert score.probability > 0.9
    assert len(score.windows) > 10


def test_what_leaves_a_doubt_is_read_as_ever() -> None:
    texts = [
        text_with(WORTH_A_GLANCE - 5),
        text_with(3000, at10=3, at2000=15),
        text_with(180, at9=5),
    ]
    quick, full = _Adding().score_quickly(texts), _Adding().score(texts)
    assert [score.windows for score in quick] == [score.windows for score in full]
    assert [q.tokens - f.tokens for q, f in zip(quick, full, strict=True)] == [0, GLANCE, GLANCE]


def test_a_quick_score_is_that_of_the_text_alone() -> None:
    texts = [
        text_with(3000),
        text_with(3, at1=9),
        text_with(3000, at530=5, at700=15),
        text_with(150),
        text_with(2500, at10=3),
        text_with(2000, at10=12),
        "",
    ]
    together = _Adding().score_quickly(texts)
    assert together == [_Adding().score_quickly([text])[0] for text in texts]
    assert _Adding().score_quickly([]) == []
