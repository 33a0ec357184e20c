"""Question and sentences held against each other token by token, and who reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.conversation import Note
from assistant.errors import ModelError
from assistant.handbook.encoder import Reading
from assistant.handbook.judging import (
    FIGURES,
    NearRun,
    ReadRun,
    SecondLook,
    SentenceJudge,
    sentence_figures,
)
from assistant.handbook.passages import PassageReader, PassageSettings
from tests.support.handbook import WordEncoder

HOURS = Note("Opening hours", "The shop opens at 9:00. On Saturday it closes at 14:00.")
PRICES = Note("Prices", "A bag costs 14 euros. Shirts are ironed for 2 euros each.")


def _reading(ids: Sequence[int], seed: int) -> Reading:
    states = np.random.default_rng(seed).normal(size=(len(ids), 8)).astype(np.float32)
    mean = states.mean(axis=0)
    return Reading(mean / np.linalg.norm(mean), tuple(ids), states)


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def _best(token: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    return max(_cosine(token, other) for other in others)


def test_figures_are_those_of_a_plain_reckoning() -> None:
    question = _reading([101, 2000, 9000, 2040, 20000, 30000, 102], 1)
    first = _reading([101, *range(5000, 5011), 102], 2)
    second = _reading([101, *range(7000, 7005), 102], 3)
    runs = [
        ReadRun(2, first, ((2, 6), (6, 12)), (0.4, 0.7)),
        ReadRun(1, second, ((1, 6), (6, 6)), (0.5, 0.1)),
    ]
    found = sentence_figures(question, runs)
    assert found.shape == (4, len(FIGURES))
    asked = question.states[1:-1]
    weights = [max(0.1, math.log(max(i - 1990, 1) / 20)) for i in question.ids[1:-1]]
    heaviest = sorted(range(5), key=lambda n: -weights[n])[:3]
    places = iter(found)
    for run in runs:
        around = [_best(token, run.reading.states[1:-1]) for token in asked]
        for (start, end), near in zip(run.spans, run.nearness, strict=True):
            row = dict(zip(FIGURES, next(places).tolist(), strict=True))
            assert row["nearness"] == pytest.approx(near)
            assert row["least said around"] == pytest.approx(
                min(around[n] for n in heaviest), abs=1e-5
            )
            assert row["behind"] == pytest.approx(0.7 - near, abs=1e-6)
            assert row["elsewhere"] == pytest.approx(0.5 if run.note == 2 else 0.7)
            if start == end:
                assert row["said"] == row["sentence tokens"] == 0
                continue
            own = run.reading.states[start:end]
            said = [_best(token, own) for token in asked]
            assert row["said"] == pytest.approx(np.average(said, weights=weights), abs=1e-5)
            assert row["least said"] == pytest.approx(min(said[n] for n in heaviest), abs=1e-5)
            assert row["mostly said"] == pytest.approx(
                np.mean([said[n] for n in heaviest]), abs=1e-5
            )
            assert row["needed"] == pytest.approx(
                np.mean([_best(token, asked) for token in own]), abs=1e-5
            )
            assert row["in place"] == pytest.approx(
                _cosine(question.states.mean(axis=0), own.mean(axis=0)), abs=1e-5
            )
            assert (row["question tokens"], row["sentence tokens"]) == (5, end - start)
    assert found[:, FIGURES.index("place")].tolist() == [2, 0, 1, 3]
    lead = found[:, FIGURES.index("lead")].tolist()
    assert lead == pytest.approx([-0.3, 0.2, -0.2, -0.6], abs=1e-6)


def test_nothing_asked_and_nothing_near_give_figures_too() -> None:
    empty = _reading([101, 102], 1)
    run = ReadRun(1, _reading([101, 5, 6, 102], 2), ((1, 3),), (0.25,))
    assert sentence_figures(empty, [run])[0, 0] == 0.25
    assert sentence_figures(empty, []).shape == (0, len(FIGURES))


@dataclass
class TokenEncoder:
    """Words as tokens, the bag of words for a vector; remembers what it was asked to read."""

    max_tokens: int = 96
    texts: list[str] = field(default_factory=list)

    def read(self, text: str) -> Reading:
        self.texts.append(text)
        words = text.split()[: self.max_tokens - 2]
        states = np.stack([WordEncoder().encode(word) for word in ["[CLS]", *words, "[SEP]"]])
        return Reading(WordEncoder().encode(text), tuple(range(len(states))), states)

    def count(self, text: str) -> int:
        return len(text.split())


@dataclass
class Wish:
    """A judge that likes sentences of a certain length, whatever is asked."""

    tokens: int

    def log_odds(self, figures_NF: NDArray[np.float32]) -> NDArray[np.float32]:
        return -np.abs(figures_NF[:, FIGURES.index("sentence tokens")] - self.tokens)


def _reader(look: SecondLook | None, threshold: float = -0.5) -> PassageReader:
    settings = PassageSettings(threshold, margin=0.4, sentences=3)
    return PassageReader(WordEncoder().encode, settings, look=look)


def test_the_judge_decides_which_sentence_is_read() -> None:
    asked = ["when does the shop close on saturday"]
    look = SecondLook(TokenEncoder(), Wish(7))
    found = _reader(look).find(asked, [HOURS, PRICES])
    assert found == [(2, Note("Prices", "Shirts are ironed for 2 euros each."))]
    assert _reader(None, 0.2).find(asked, [HOURS, PRICES])[0][0] == 1
    assert _reader(SecondLook(TokenEncoder(), Wish(40))).find(asked, [HOURS, PRICES]) == []
    assert _reader(look).find(asked, []) == []


def test_further_sentences_may_lie_below_the_threshold() -> None:
    look = SecondLook(TokenEncoder(), Wish(7))
    near = PassageSettings(-0.5, margin=2.5, elsewhere=0.0, sentences=3)
    far = PassageSettings(-0.5, margin=2.5, elsewhere=0.0, sentences=3, further=-3.0)
    texts = []
    for settings in (near, far):
        reader = PassageReader(WordEncoder().encode, settings, look=look)
        ((_, note),) = reader.find(["ironed"], [PRICES])
        texts.append(note.text)
    assert texts == [
        "Shirts are ironed for 2 euros each.",
        "Shirts are ironed for 2 euros each. A bag costs 14 euros.",
    ]


def test_short_notes_are_read_once() -> None:
    encoder = TokenEncoder()
    reader = _reader(SecondLook(encoder, Wish(7)))
    for _ in range(3):
        reader.find(["when does the shop close"], [HOURS, PRICES])
    assert len(encoder.texts) == len(set(encoder.texts)) == 3  # the question and two notes


def test_sentences_beyond_what_the_encoder_reads_are_read_by_themselves() -> None:
    encoder = TokenEncoder(max_tokens=12)
    texts = ("one two three four five", "six seven eight nine", "ten " * 20)
    figures = SecondLook(encoder, None).figures("seven", [NearRun(1, "T", texts, (0.1, 0.2, 0.3))])
    assert set(encoder.texts) == {"seven", *(f"T: {text}" for text in texts)}
    said = figures[:, FIGURES.index("said")]
    assert said[1] == pytest.approx(1, abs=1e-5)
    assert said[0] < 0.5
    assert figures[:, FIGURES.index("sentence tokens")].tolist() == [5, 4, 9]


def test_a_damaged_judge_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "judge.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="judge of sentences cannot be loaded"):
        SentenceJudge(tmp_path / "judge.onnx")
    with pytest.raises(ModelError, match="no judge"):
        SecondLook(TokenEncoder(), None).log_odds("a", [])
