"""Notes are read by the passage: which are found, and what is sent of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pytest

from assistant.chat import Completion
from assistant.conversation import (
    Message,
    Note,
    grounded_question,
    passages_question,
    read_grounded_question,
)
from assistant.handbook.passages import PassageReader, PassageSettings
from assistant.handbook.reading import with_passages
from assistant.history import History
from assistant.session import ChatSession
from tests.support.handbook import ReadingModel, WordEncoder

HOURS = Note("Opening hours", "The shop opens at 9:00. On Saturday it closes at 14:00.")
PRICES = Note("Prices", "A bag costs 14 euros. Shirts are ironed for 2 euros each.")
NOTES = [HOURS, PRICES]
IRONING = "Another thing: a bag of shirts, ironed, costs me how many euros each month of a year?"


CLOSES = Note(HOURS.title, "On Saturday it closes at 14:00.")
IRONED = Note(PRICES.title, "Shirts are ironed for 2 euros each.")


def _reader(threshold: float = 0.2, margin: float = 0.05, sentences: int = 2) -> PassageReader:
    return PassageReader(WordEncoder().encode, PassageSettings(threshold, margin, sentences))


def test_the_note_a_question_is_about_is_found_under_its_number() -> None:
    assert _reader().find(["what closes on saturday"], NOTES) == [(1, CLOSES)]
    assert _reader().find(["what do ironed shirts cost"], NOTES) == [(2, IRONED)]


def test_nothing_is_found_where_nothing_is_near() -> None:
    assert _reader().find(["zebra crossing"], NOTES) == []
    assert _reader().find(["zebra"], []) == []


def test_a_follow_up_is_looked_for_with_the_question_it_goes_back_to() -> None:
    asked = ["what do ironed shirts cost", "and that for two?"]
    assert _reader(threshold=0.15).find(asked, NOTES) == [(2, IRONED)]


def test_of_a_long_note_only_the_passage_that_fits_is_read() -> None:
    filler = " ".join(f"Paragraph {n} tells of {n} other things." for n in range(200))
    long = Note("Manual", f"{filler} The reset button hides under the blue lid. {filler}")
    ((number, part),) = _reader(margin=0.0).find(["where is the reset button"], [HOURS, long])[:1]
    assert number == 2
    assert "under the blue lid" in part.text
    assert len(part.text.split()) <= 70


def test_texts_are_encoded_once() -> None:
    encoder = WordEncoder()
    reader = PassageReader(encoder.encode, PassageSettings())
    for _ in range(3):
        reader.find(["when does the shop close"], NOTES)
    assert len(encoder.asked) == len(set(encoder.asked))


def test_the_nearest_sentence_comes_first_and_its_note_with_it() -> None:
    note = Note("Bags", "A bag costs 14 euros. Blue bags weigh nothing. A bag of shirts is large.")
    found = _reader(margin=1.0, threshold=0.0, sentences=3).find(
        ["how large is a bag of shirts"], [HOURS, note]
    )
    assert found[0][0] == 2
    assert found[0][1].text.startswith("A bag of shirts is large.")


def test_a_needed_sentence_is_taken_though_it_is_far() -> None:
    needed = [(1, "The shop opens at 9:00.")]
    found = _reader().find(["what do ironed shirts cost"], NOTES, needed)
    assert found == [(2, IRONED), (1, Note(HOURS.title, "The shop opens at 9:00."))]


@pytest.mark.parametrize("question", ["what?", "a\n\nQuestion: b", "line\nline"])
def test_a_grounded_message_is_read_back(question: str) -> None:
    colon = Note("a: b", "x [2] y: z")
    read = read_grounded_question(grounded_question(question, [HOURS, colon]))
    assert read is not None
    assert read[0] == question
    # where a title ends that holds ": " itself cannot be told, but nothing of it is lost
    assert [f"{note.title}: {note.text}" for note in read[1]] == [
        f"{note.title}: {note.text}" for note in (HOURS, colon)
    ]


@pytest.mark.parametrize(
    "message",
    [
        "how are you",
        "Answer from these notes and cite them as [n].",
        "Answer from these notes and cite them as [n].\n[2] a: b\n\nQuestion: c",
        "Answer from these notes and cite them as [n].\n[1] a\n\nQuestion: c",
        "Answer from these notes and cite them as [n].\n\nQuestion: c",
    ],
)
def test_another_message_is_none(message: str) -> None:
    assert read_grounded_question(message) is None


def test_the_last_question_alone_carries_passages() -> None:
    talk = [
        Message("system", "Be calm."),
        Message("user", grounded_question("when does it close on saturday", NOTES)),
        Message("assistant", "At 14:00 [1]."),
        Message("user", IRONING),
    ]
    sent = with_passages(talk, _reader().find)
    assert [message.content for message in sent] == [
        "Be calm.",
        "when does it close on saturday",
        "At 14:00 [1].",
        passages_question(IRONING, [(2, PRICES)], NOTES),
    ]


def test_an_answer_that_goes_on_keeps_its_question() -> None:
    talk = [
        Message("user", grounded_question("what do ironed shirts cost", NOTES)),
        Message("assistant", "Shirts are"),
    ]
    sent = with_passages(talk, _reader().find)
    assert sent[0].content.startswith("Answer from these notes")
    assert "Opening" not in sent[0].content
    assert sent[1] == talk[1]


def test_where_no_note_is_near_the_model_is_told_so() -> None:
    talk = [Message("user", grounded_question("zebra?", NOTES))]
    (sent,) = with_passages(talk, _reader().find)
    assert sent.content == (
        "No note answers this question. The notes are about: Opening hours; Prices"
        "\n\nQuestion: zebra?"
    )


def test_a_conversation_without_notes_stays_as_it_is() -> None:
    def never(questions: Sequence[str], notes: Sequence[Note]) -> list[tuple[int, Note]]:
        raise AssertionError

    talk = [Message("user", "hello"), Message("assistant", "Hello."), Message("user", "bye")]
    assert with_passages(talk, never) == talk


def test_a_model_that_cannot_tell_reads_all_notes() -> None:
    talk = [Message("user", grounded_question("zebra?", NOTES))]
    assert with_passages(talk, lambda questions, notes: None) == talk


class _PassageModel(ReadingModel):
    def find_passages(
        self, questions: Sequence[str], notes: Sequence[Note]
    ) -> list[tuple[int, Note]] | None:
        return _reader().find(questions, notes)


def test_notes_far_longer_than_the_window_are_read_and_stored_whole() -> None:
    filler = "Chapter after chapter tells of other things. " * 3000
    notes = [Note("Manual", filler), PRICES]
    asked = grounded_question("what do ironed shirts cost", notes)
    model = _PassageModel(context_length=400)
    session = ChatSession(History(None), model)
    *_, last = session.ask(asked, Event())
    assert isinstance(last, Completion)
    assert model.prompts[0][-1].content.endswith("Question: what do ironed shirts cost")
    assert "[2] Prices: Shirts are ironed for 2 euros each." in model.prompts[0][-1].content
    assert session.messages()[0].content == asked
