"""Examples about notes: what the product would find, and what the answer was taken from."""

from __future__ import annotations

from assistant.conversation import Message, Note, grounded_question
from assistant.handbook.passages import PassageReader, PassageSettings
from tests.support.handbook import WordEncoder
from training.finetuning.passages import PassageExamples

SETTINGS = PassageSettings(threshold=0.3, margin=0.01, sentences=1)
NOTES = [
    Note("Prices", "A bag of six kilos costs 14 euros. Shirts are ironed for 2 euros each."),
    Note("Hours", "The shop closes at 14:00 on Saturday."),
]


def _examples() -> PassageExamples:
    return PassageExamples(PassageReader(WordEncoder().encode, SETTINGS))


def _question(question: str) -> Message:
    return Message("user", grounded_question(question, NOTES))


def test_each_answer_is_an_example_with_its_own_passages() -> None:
    talk = [
        Message("system", "Be calm."),
        _question("when does the shop close on Saturday"),
        Message("assistant", "At 14:00 [2]."),
        Message("user", "Shirts are ironed for what"),
        Message("assistant", "For 2 euros each [1]."),
    ]
    first, second = _examples().prompted(talk)
    assert first[1]
    assert second[1]  # the last answer alone counts
    assert first[0][0] == talk[0]
    assert "[2] Hours: The shop closes" in first[0][1].content
    assert "Prices" not in first[0][1].content
    assert second[0][1].content == "when does the shop close on Saturday"
    assert "[1] Prices: Shirts are ironed" in second[0][3].content
    assert second[0][-1] == talk[-1]


def test_the_passage_an_answer_was_taken_from_is_always_there() -> None:
    talk = [_question("zebra"), Message("assistant", "Six kilos cost 14 euros [1].")]
    ((example, _),) = _examples().prompted(talk)
    assert "[1] Prices: A bag of six kilos costs 14 euros." in example[0].content
    assert "Shirts" not in example[0].content


def test_a_refusal_is_learned_where_no_passage_is_shown_and_there_alone() -> None:
    near = "when does the shop close on Saturday"
    for said in ("The notes do not say.", "The notes do not say. They only name 14:00 [2]."):
        ((example, _),) = _examples().prompted([_question(near), Message("assistant", said)])
        assert example[0].content.startswith("No note answers this question.")
        assert example[1].content == "The notes do not say."


def test_half_an_answer_keeps_its_passages() -> None:
    said = "It closes at 14:00 on Saturday, but the notes do not say why [2]. Ask them."
    talk = [_question("when does the shop close on Saturday"), Message("assistant", said)]
    ((example, _),) = _examples().prompted(talk)
    assert example[0].content.startswith("Answer from these notes")
    assert example[1].content == said


def test_a_citation_of_no_note_changes_nothing() -> None:
    talk = [_question("zebra"), Message("assistant", "See [7].")]
    ((example, _),) = _examples().prompted(talk)
    assert example[0].content.startswith("No note answers this question.")
