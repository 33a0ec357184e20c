"""Answers about notes hold what was found, word for word, under the right number."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.chat import Completion, GenerationOptions
from assistant.conversation import Message, Note, passages_question
from assistant.engine.chat_model import OnnxChatModel, load_chat_model
from assistant.engine.copying import SETTLED, CitationBonus
from assistant.engine.quoting import Quotes
from tests.support.tiny import tiny_chat
from training.exporting.export import export_bundle

EXAM = Note("Exam", "After a failed exam you wait 14 days. The fee of €26 goes to the office.")
HOURS = Note("Hours", "We open at 9:00.")
ASKED = passages_question("failed, when again and what does it cost", [(3, EXAM), (1, HOURS)], [])
FEE = "The fee of €26 goes to the office [3]."


def test_sentences_keep_their_order_and_their_notes_numbers() -> None:
    assert [number for number, _ in Quotes(ASKED).sentences] == [3, 3, 1]
    assert Quotes(ASKED).sentences[1][1] == "The fee of €26 goes to the office."


@pytest.mark.parametrize(
    "asked", ["", "hi", passages_question("when", [], [HOURS]), "[1] a: b is so.\n\nIs it?"]
)
def test_without_passages_there_is_nothing_to_quote(asked: str) -> None:
    assert Quotes(asked).left_out("Never mind.") == []
    assert Quotes(asked).note("Never mind [") is None


def test_what_an_answer_leaves_out_is_said_with_its_citation() -> None:
    quotes = Quotes(ASKED)
    assert quotes.left_out("You wait 14 days after a failed exam [3].") == [FEE]
    assert quotes.left_out(f"After a failed exam you wait 14 days [3]. {FEE}") == []


def test_another_note_is_quoted_only_when_the_answer_cites_it() -> None:
    quotes = Quotes(ASKED)
    assert quotes.left_out("Ask there at noon [1].")[-1] == "We open at 9:00 [1]."
    assert not any("[1]" in sentence for sentence in quotes.left_out("Ask there."))


def test_an_answer_that_cites_nothing_gets_the_nearest_sentence() -> None:
    said = "After a failed exam you wait 14 days. The fee of €26 goes to the office."
    assert Quotes(ASKED).left_out(said) == ["After a failed exam you wait 14 days [3]."]


def test_a_list_that_breaks_off_is_quoted_whole() -> None:
    steps = Note("Leak", "1. Close the tap. 2. Pull the plug. 3. Call 0555 0147, day and night.")
    quotes = Quotes(passages_question("it leaks", [(2, steps)], []))
    (left,) = quotes.left_out("1. Close the tap [2].\n2. Pull the plug [2].")
    assert left == "1. Close the tap. 2. Pull the plug. 3. Call 0555 0147, day and night [2]."


@given(st.text(max_size=200))
def test_any_answer_can_be_looked_at(answer: str) -> None:
    quotes = Quotes(ASKED)
    assert len(quotes.left_out(answer)) <= 3
    assert quotes.note(answer) in {None, 1, 3}


def _ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def _text(ids: Any) -> str:
    return "".join(chr(i) for i in ids)


def test_the_number_of_a_citation_is_that_of_the_note_that_says_it() -> None:
    bonus = CitationBonus(Quotes(ASKED), None, _ids, _text)
    assert bonus.of(_ids("It is open from 9:00 [1]. The fee is €26 [")) == {ord("3"): SETTLED}
    assert bonus.of(_ids("We open at 9:00 [")) == {ord("1"): SETTLED}
    assert bonus.of(_ids("We open at 9:00 ")) == {}
    assert bonus.of(_ids("Zebra [")) == {}


@pytest.fixture
def model(tmp_path) -> OnnxChatModel:
    bundle = export_bundle(
        tiny_chat(context_length=512), tmp_path / "models" / "tiny", "tiny", "d", "float32"
    )
    return load_chat_model(str(bundle.directory))


def _answer(model: OnnxChatModel, says: str, end: str = "end", **options: Any) -> Completion:
    ids = model.tokenizer.encode(says)

    def generate(*arguments: Any) -> Iterator[int]:
        yield from ids
        return end

    model.generator.generate = generate  # type: ignore[method-assign,assignment]
    *chunks, last = model.stream([Message("user", ASKED)], GenerationOptions(**options), Event())
    assert isinstance(last, Completion)
    assert "".join(chunk.text for chunk in chunks) == last.text  # type: ignore[union-attr]
    return last


def test_quotes_stand_behind_a_finished_answer_alone(model: OnnxChatModel) -> None:
    says = "You wait 14 days after a failed exam [3]."
    assert _answer(model, says, quote_notes=True).text == f"{says} {FEE}"
    assert _answer(model, says).text == says
    assert _answer(model, says, end="length", quote_notes=True).text == says
    assert _answer(model, says, end="stopped", quote_notes=True).text == says
