"""Which dialogues become entries."""

from __future__ import annotations

from assistant.conversation import Message, Note
from assistant.handbook.entries import item_of
from training.datasets.splits import split_of
from training.finetuning.conversations import Dialogue, DialogueData, load_dialogues
from training.handbook.entries import handbook_entries


def _key(split: str) -> str:
    return next(key for n in range(999) if split_of(key := f"acc-{n:04d}") == split)


def _dialogue(key: str, notes: tuple[Note, ...] = (), topic: str = "dev/printer") -> Dialogue:
    spoken = ("Printer is offline", "Restart it.", "did that", "Then check the cable.")
    messages = tuple(
        Message("assistant" if n % 2 else "user", text) for n, text in enumerate(spoken)
    )
    return Dialogue(key, "acc", messages, ("printer offline",), notes, topic)


def test_each_answer_is_an_entry_and_a_later_one_is_asked_for_by_the_whole_chain() -> None:
    key = _key("train")
    first, second = handbook_entries([_dialogue(key)])
    assert (first.id, first.question) == (key, "Printer is offline")
    assert first.asks == ("printer offline",)
    assert (second.id, second.question) == (f"{key}.2", "Printer is offline did that")
    assert (second.answer, second.asks) == ("Then check the cable.", ())
    assert item_of(first.id) == item_of(second.id) == key


def test_what_validates_or_tests_and_what_has_notes_is_no_entry() -> None:
    assert handbook_entries([_dialogue(_key("validation")), _dialogue(_key("test"))]) == []
    assert handbook_entries([_dialogue(_key("train"), (Note("Fees", "none"),))]) == []


def test_answers_made_of_ones_own_text_are_no_entries() -> None:
    assert handbook_entries([_dialogue(_key("train"), topic="sum/mail")]) == []
    assert handbook_entries([_dialogue(_key("train"), topic="facts/name")]) == []


def test_the_written_dialogues_give_entries_of_the_training_split_alone() -> None:
    entries = handbook_entries(load_dialogues(DialogueData()))
    assert len(entries) > 2500
    assert {split_of(item_of(entry.id)) for entry in entries} == {"train"}
    assert not any(entry.id.startswith(("gro", "gr2")) for entry in entries)
    assert len({entry.id for entry in entries}) == len(entries)
