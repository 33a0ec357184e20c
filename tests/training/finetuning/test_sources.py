"""The sentences of the notes that an answer was taken from are found again."""

from __future__ import annotations

from assistant.conversation import Note
from training.finetuning.sources import answer_sources, note_sentences

NOTES = [
    Note("Bin", "Files stay for 30 days on Free and 90 days on Home. Restore with a right click."),
    Note("Plans", "Home costs €4 a month. Free has 5 GB. Support answers within 2 days."),
]
PARTS = note_sentences(NOTES)


def _found(answer: str) -> list[str]:
    return [PARTS[place][2] for place in answer_sources(answer, PARTS)]


def test_sentences_carry_number_and_title() -> None:
    assert PARTS[0][:2] == (1, "Bin")
    assert PARTS[3] == (2, "Plans", "Free has 5 GB.")


def test_the_sentence_a_fact_stands_in_is_the_source() -> None:
    assert _found("You get 5 GB with Free [2].") == ["Free has 5 GB."]
    assert _found("Right click and restore them [1].") == ["Restore with a right click."]


def test_a_second_sentence_counts_when_it_alone_holds_a_number() -> None:
    answer = "Home is €4 a month, and support answers within 2 days [2]."
    assert _found(answer) == ["Home costs €4 a month.", "Support answers within 2 days."]


def test_each_sentence_of_an_answer_has_its_own_source() -> None:
    answer = "They stay for 90 days on Home [1]. Home costs €4 a month [2]."
    assert _found(answer) == [PARTS[0][2], PARTS[2][2]]


def test_what_cites_nothing_or_a_note_that_is_not_there_has_no_source() -> None:
    assert _found("Home costs €4 a month.") == []
    assert _found("Home costs €4 a month [7].") == []
    assert _found("Zebra [2].") == []
