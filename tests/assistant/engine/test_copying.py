"""Entries and notes are copied once an answer has begun to say the same."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.chat import GenerationOptions
from assistant.conversation import (
    HandbookEntry,
    Message,
    Note,
    encode_prompt,
    grounded_question,
    handbook_question,
    passages_question,
    quotable,
)
from assistant.engine.chat_model import OnnxChatModel, load_chat_model
from assistant.engine.copying import CopyBonus
from assistant.engine.sampling import Sampler
from tests.support.tiny import tiny_chat
from training.exporting.export import export_bundle

SOURCE = [5, 6, 7, 8, 9, 6, 7, 1, 2]


def _bonus(*answer: int, excepted: frozenset[int] = frozenset()) -> dict[int, float]:
    return CopyBonus(SOURCE, 4.0, excepted.__contains__).of(answer)


def test_the_longest_run_tells_what_follows() -> None:
    assert _bonus(0, 5, 6, 7) == {8: 4.0}
    assert _bonus(9, 6, 7) == {1: 4.0}


def test_two_tokens_are_a_weak_sign_and_one_is_none() -> None:
    assert _bonus(0, 6, 7) == {8: 2.0, 1: 2.0}
    assert _bonus(5) == {}
    assert _bonus() == {}
    assert _bonus(0, 9) == {}


def test_where_the_source_ends_nothing_follows() -> None:
    assert _bonus(7, 1, 2) == {}


def test_excepted_tokens_get_nothing() -> None:
    assert _bonus(0, 6, 7, excepted=frozenset({8})) == {1: 2.0}


@given(st.lists(st.integers(0, 4), max_size=30), st.lists(st.integers(0, 4), max_size=12))
def test_a_token_with_a_bonus_follows_the_answers_end_in_the_source(
    source: list[int], answer: list[int]
) -> None:
    for token in CopyBonus(source, 1.0, lambda token: False).of(answer):
        run = [*answer[-2:], token]
        assert any(source[n : n + 3] == run for n in range(len(source)))


def test_the_sampler_adds_the_bonus_and_leaves_the_logits() -> None:
    logits = np.array([1.0, 0.5, 0.0], np.float32)
    sampler = Sampler(GenerationOptions())
    assert sampler.choose(logits, [], {2: 2.0}) == 2
    assert sampler.choose(logits, [], {2: 0.9}) == 0
    assert logits.tolist() == [1.0, 0.5, 0.0]


def test_what_may_be_repeated_is_the_entries_answers_or_the_notes_text() -> None:
    entry = HandbookEntry("x", "t", "How?", "Do this.\n1. Press it.\n2. Wait.")
    assert quotable(handbook_question("how: then?", [entry])) == "Do this.\n1. Press it.\n2. Wait."
    notes = [Note("Hours", "From 9:00."), Note("Fee", "It is €3.")]
    assert quotable(grounded_question("when", notes)) == "From 9:00.\nIt is €3."
    assert quotable(passages_question("when", [(2, notes[1])], notes)) == "It is €3."
    assert quotable(passages_question("when", [], notes)) == ""
    assert quotable("when") == ""
    assert quotable("Shorten this:\n\nQuestion: who?") == ""


@pytest.fixture
def model(tmp_path) -> OnnxChatModel:
    bundle = export_bundle(
        tiny_chat(context_length=256), tmp_path / "models" / "tiny", "tiny", "d", "float32"
    )
    return load_chat_model(str(bundle.directory))


def _says(model: OnnxChatModel, asked: str, source: str, bonus: float) -> list[int]:
    """Answer with a model that says the source's first two tokens and then wants token 40."""
    script = [*model.tokenizer.encode(source)[:2], *[40] * 99]
    spoken = 0

    def forward(ids: list[int], wanted: range | None = None) -> np.ndarray:
        nonlocal spoken
        logits = np.zeros((1, model.generator.vocabulary_size), np.float32)
        logits[0, script[spoken]] = 5.0
        spoken += 1
        model.generator._cached.extend(ids)
        return logits

    model.generator.forward = forward  # type: ignore[method-assign]
    model.generator.speculate = False
    model.generator._cached = []
    prompt = encode_prompt([Message("user", asked)], model.tokenizer)
    options = GenerationOptions(max_tokens=len(model.tokenizer.encode(source)))
    copying = model._copying(asked, bonus)
    stops: frozenset[int] = frozenset()
    return list(model.generator.generate(prompt, options, stops, Event(), None, copying))


def test_an_entry_is_copied_to_its_end(model: OnnxChatModel) -> None:
    text = "Press it. Then wait for the lamp; it blinks!"
    asked = handbook_question("how", [HandbookEntry("x", "t", "How?", text)])
    ids = model.tokenizer.encode(text)
    assert 40 not in ids
    assert _says(model, asked, text, 12.0) == ids
    assert _says(model, asked, text, 0.0)[2:] == [40] * (len(ids) - 2)
    assert _says(model, asked, text, 4.0)[2:] == [40] * (len(ids) - 2)  # the model wins


def test_of_notes_no_sentences_end_is_copied(model: OnnxChatModel) -> None:
    text = "Press it. Then wait"
    asked = grounded_question("how", [Note("Lamp", text)])
    said = model.tokenizer.decode(_says(model, asked, text, 12.0))
    assert said.startswith("Press it")
    assert "." not in said


def test_a_question_alone_is_answered_freely(model: OnnxChatModel) -> None:
    assert model._copying("how", 3.0) is None
    assert model._copying(passages_question("how", [], []), 3.0) is None
