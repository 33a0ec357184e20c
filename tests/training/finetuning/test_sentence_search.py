"""Questions about notes find the sentences that answer them, and nothing where there is none."""

from __future__ import annotations

import random

import pytest
import torch

from assistant.conversation import Message, Note
from training.finetuning.conversations import Dialogue
from training.finetuning.sentence_search import (
    MOST,
    SearchBatch,
    draw_search,
    search_items,
    search_loss,
)

NOTES = (
    Note("Bin", "Files stay for 30 days. Restore with a right click. Nothing comes back later."),
    Note("Plans", " ".join(f"Plan number {n} costs €{n} a month." for n in range(3, 15))),
)
TALK = Dialogue(
    "gro-0001",
    "gro",
    (
        Message("system", "Be calm."),
        Message("user", "how long are files there"),
        Message("assistant", "30 days [1]."),
        Message("user", "and plan 7 costs"),
        Message("assistant", "Plan number 7 costs €7 a month [2]."),
        Message("user", "who is the boss"),
        Message("assistant", "The notes don't say."),
    ),
    asks=("files gone when",),
    notes=NOTES,
)


def test_each_answer_is_an_item_with_the_sentences_it_was_taken_from() -> None:
    first, second, third = search_items([TALK, Dialogue("a", "a", TALK.messages)])
    assert first.questions == (("how long are files there",), ("files gone when",))
    assert [first.sentences[n] for n in first.right] == ["Bin: Files stay for 30 days."]
    assert second.questions == (("how long are files there", "and plan 7 costs"),)
    assert [second.sentences[n] for n in second.right] == ["Plans: Plan number 7 costs €7 a month."]
    assert not third.right
    assert len(third.sentences) == 15


def test_what_answers_and_its_neighbours_are_always_drawn() -> None:
    items = search_items([TALK])
    for seed in range(20):
        batch = draw_search(items, random.Random(seed))  # noqa: S311
        owners = batch.owner_C.tolist()
        assert max(owners.count(n) for n in range(3)) <= MOST
        right = [
            (owner, text)
            for owner, text, answers in zip(owners, batch.sentences, batch.right_C, strict=True)
            if answers
        ]
        assert right == [
            (0, "Bin: Files stay for 30 days."),
            (1, "Plans: Plan number 7 costs €7 a month."),
        ]
        bin_note = [
            t for o, t in zip(owners, batch.sentences, strict=True) if o == 0 and "Bin" in t
        ]
        assert len(bin_note) == 3


def _vectors(angles: list[float]) -> torch.Tensor:
    radians = torch.tensor(angles).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_the_loss_is_low_where_the_right_sentence_alone_is_near() -> None:
    batch = SearchBatch(
        ["q", "r"], ["a", "b", "c"], torch.tensor([0, 0, 1]), torch.tensor([True, False, False])
    )
    questions = _vectors([0.0, 180.0])
    good = search_loss(questions, _vectors([10.0, 90.0, 90.0]), batch, 20.0, 0.45)
    wrong_one = search_loss(questions, _vectors([90.0, 10.0, 90.0]), batch, 20.0, 0.45)
    too_near = search_loss(questions, _vectors([10.0, 90.0, 170.0]), batch, 20.0, 0.45)
    too_far = search_loss(questions, _vectors([70.0, 95.0, 90.0]), batch, 20.0, 0.45)
    assert float(good) < 0.02
    assert min(float(wrong_one), float(too_near), float(too_far)) > 0.5


def test_the_loss_is_that_of_its_formula() -> None:
    batch = SearchBatch(["q"], ["a", "b"], torch.tensor([0, 0]), torch.tensor([True, False]))
    loss = search_loss(_vectors([0.0]), _vectors([60.0, 90.0]), batch, 2.0, 0.25)
    listed = -torch.tensor([1.0, 0.0]).log_softmax(0)[0]
    passed = -torch.tensor([0.5]).sigmoid().log() - torch.tensor([0.5]).sigmoid().log()
    assert float(loss) == pytest.approx(float(listed + 0.5 * passed), rel=1e-5)


def test_questions_that_nothing_answers_alone_are_a_batch_too() -> None:
    batch = SearchBatch(["q"], ["a"], torch.tensor([0]), torch.tensor([False]))
    loss = search_loss(_vectors([0.0]), _vectors([90.0]), batch, 20.0, 0.45)
    assert 0 < float(loss) < 0.01
