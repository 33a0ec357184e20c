"""Changed grounded dialogues still tell the truth."""

from __future__ import annotations

import random
import re

import pytest

from assistant.conversation import Message, Note
from training.datasets.splits import split_unit
from training.finetuning.conversations import Dialogue, DialogueData, load_dialogues
from training.finetuning.grounded import (
    GroundedConfig,
    GroundedVariants,
    citations,
    refusals,
)


@pytest.fixture(scope="module")
def written() -> list[Dialogue]:
    """The written dialogues with notes, of the training split."""
    found = load_dialogues(DialogueData())
    return [dialogue for dialogue in found if dialogue.notes and dialogue.split == "train"]


def _draw(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311


def _cited(dialogue: Dialogue) -> list[list[Note]]:
    return [
        [dialogue.notes[int(n) - 1] for n in re.findall(r"\[(\d+)\]", message.content)]
        for message in dialogue.messages
        if message.role == "assistant"
    ]


def test_a_citation_names_the_same_note_wherever_it_stands(written: list[Dialogue]) -> None:
    variants = GroundedVariants(written, GroundedConfig(share=1.0, refusals=0.0))
    moved = 0
    for dialogue in written:
        for seed in range(3):
            changed = variants.draw(dialogue, _draw(seed))
            assert _cited(changed) == _cited(dialogue)
            assert set(dialogue.notes) <= set(changed.notes)
            assert len(set(changed.notes)) == len(changed.notes) <= 6
            moved += changed.messages != dialogue.messages
    assert moved > len(written)


def test_added_notes_are_another_organisations(written: list[Dialogue]) -> None:
    owner = {note: split_unit(d.key) for d in written for note in d.notes}
    variants = GroundedVariants(written, GroundedConfig(share=1.0, refusals=0.0))
    added = [
        (dialogue, note)
        for seed, dialogue in enumerate(written)
        for note in variants.draw(dialogue, _draw(seed)).notes
        if note not in dialogue.notes
    ]
    assert len(added) > 100
    assert all(owner[note] != split_unit(dialogue.key) for dialogue, note in added)


def test_without_the_note_it_cites_an_answer_becomes_a_refusal(written: list[Dialogue]) -> None:
    variants = GroundedVariants(written, GroundedConfig(share=1.0, refusals=1.0))
    refused = 0
    for dialogue in written:
        changed = variants.draw(dialogue, _draw(1))
        cited = citations(dialogue.messages)
        if len(cited) != 1 or len(dialogue.messages) != 2:
            assert _cited(changed) == _cited(dialogue), "several citations: only the order changes"
            continue
        refused += 1
        assert dialogue.notes[cited.pop() - 1] not in changed.notes
        assert changed.notes
        assert changed.messages[0] == dialogue.messages[0]
        assert changed.messages[1] != dialogue.messages[1]
        assert "{" not in changed.messages[1].content
        assert not citations(changed.messages)
    assert refused > 100


def test_only_citations_are_renumbered() -> None:
    notes = (Note("A", "one"), Note("B", "two"))
    answer = "Press [Enter], then [pdf]; see [2] and [9]."
    dialogue = Dialogue(
        "x", "x", (Message("user", "[1]?"), Message("assistant", answer)), (), notes
    )
    variants = GroundedVariants([], GroundedConfig(share=1.0, distractors=0, refusals=0.0))
    seen = {variants.draw(dialogue, _draw(seed)).messages for seed in range(20)}
    swapped = (Message("user", "[1]?"), Message("assistant", answer.replace("[2]", "[1]")))
    assert seen == {dialogue.messages, swapped}


def test_nothing_changes_unless_asked(written: list[Dialogue]) -> None:
    variants = GroundedVariants(written, GroundedConfig())
    assert all(variants.draw(dialogue, _draw(1)) == dialogue for dialogue in written)


def test_the_refusals_are_many_and_promise_nothing() -> None:
    texts = refusals()
    assert len(set(texts)) == len(texts) >= 40
    for text in texts:
        assert len(text.split()) <= 40
        assert "http" not in text
        assert not re.search(r"\d", text)
        assert "note" in text or "gave" in text or "{topics}" in text or "won't guess" in text


def test_topics_are_the_titles_left(written: list[Dialogue]) -> None:
    notes = (Note("Late fees", "x"), Note("eSIM setup", "y"), Note("USB sticks", "z"))
    dialogue = Dialogue(
        "x",
        "x",
        (Message("user", "q"), Message("assistant", "a [1]")),
        (),
        (Note("P", "p"), *notes),
    )
    config = GroundedConfig(share=1.0, distractors=0, refusals=1.0)
    said = {
        GroundedVariants([], config).draw(dialogue, _draw(seed)).messages[1].content
        for seed in range(200)
    }
    listed = [text for text in said if "late fees" in text]
    assert listed
    assert all("eSIM setup" in text and "USB sticks" in text for text in listed)
