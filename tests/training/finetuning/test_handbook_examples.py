"""Examples with entries: whose, for which question, and what the loss counts."""

from __future__ import annotations

import random
from collections.abc import Sequence

from assistant.conversation import HandbookEntry, Message, handbook_question
from assistant.tokenizer import MESSAGE_END, Tokenizer
from tests.support.handbook import ENTRIES, tiny_handbook
from training.finetuning.conversations import Dialogue
from training.finetuning.examples import ChatExamples
from training.finetuning.handbook import HandbookConfig, HandbookExamples, Prompted

PARCEL = (
    Message("system", "Be calm."),
    Message("user", ENTRIES[1].question),
    Message("assistant", ENTRIES[1].answer),
    Message("user", "tracking says delivered"),
    Message("assistant", ENTRIES[2].answer),
)
PASSWORD = (Message("user", ENTRIES[0].asks[1]), Message("assistant", ENTRIES[0].answer))


def _examples(
    share: float = 1.0,
    own: float = 1.0,
    margin: float = 2.0,
    more: Sequence[HandbookEntry] = (),
) -> HandbookExamples:
    handbook = tiny_handbook([*ENTRIES, *more], threshold=0.05, margin=margin)
    return HandbookExamples(handbook, HandbookConfig("x", share, own, 2))


def _draw() -> random.Random:
    return random.Random(1)  # noqa: S311


def _last_question(prompted: Prompted) -> str:
    return prompted[0][-2].content


def test_an_item_whose_own_entry_is_left_out_never_reads_its_own_answer() -> None:
    near = HandbookEntry("acc-0002", "t", "How do I reset my PIN?", "Ask the bank.", ())
    examples = _examples(own=0.0, more=[near])
    for key, messages in (("acc-0001", PASSWORD), ("ord-0001", PARCEL)):
        for prompted in examples.prompted(key, messages, _draw()):
            own = [entry.answer for entry in ENTRIES if entry.id.startswith(key)]
            assert not any(f"A: {answer}" in _last_question(prompted) for answer in own)
    (password,) = examples.prompted("acc-0001", PASSWORD, _draw())
    assert "A: Ask the bank." in _last_question(password)


def test_the_own_entry_is_found_by_its_other_phrasings_alone() -> None:
    # A foreign entry worded exactly as this question must rank before the own one, which is
    # found by rewordings only.
    twin = HandbookEntry("acc-0009", "t", ENTRIES[0].asks[1], "Another answer.", ())
    (prompted,) = _examples(more=[twin]).prompted("acc-0001", PASSWORD, _draw())
    assert _last_question(prompted) == handbook_question(PASSWORD[0].content, [twin, ENTRIES[0]])
    assert prompted[0][-1] == PASSWORD[-1]


def test_each_answer_of_a_longer_dialogue_is_an_example_and_only_its_question_carries_entries() -> (
    None
):
    first, second = _examples(margin=0.0).prompted("ord-0001", PARCEL, _draw())
    assert [m.content for m in first[0][:1]] == ["Be calm."]
    assert len(first[0]) == 3
    assert "A: " + ENTRIES[1].answer in first[0][1].content
    assert "A: " + ENTRIES[2].answer not in first[0][1].content
    assert second[0][:3] == PARCEL[:3], "earlier turns stay plain"
    assert "A: " + ENTRIES[2].answer in second[0][3].content
    assert second[0][4] == PARCEL[4]
    assert second[0][3].content.endswith("Question: tracking says delivered")


def test_the_loss_counts_the_last_answer_alone_when_entries_are_read(
    tokenizer: Tokenizer,
) -> None:
    dialogue = Dialogue("ord-0001", "ord", PARCEL)
    answers = [ENTRIES[1].answer, ENTRIES[2].answer]
    for share, expected in ((1.0, [[a] for a in answers]), (0.0, [answers])):
        built = ChatExamples([dialogue], tokenizer, 900, "", True, _examples(share=share))
        counted = [
            [i for i, c in zip(example.ids, example.counted, strict=True) if c]
            for example in built(_draw())
        ]
        end = tokenizer.special(MESSAGE_END)
        assert counted == [
            [token for text in texts for token in (*tokenizer.encode(text), end)]
            for texts in expected
        ]


def test_a_dialogue_nothing_is_found_for_stays_plain() -> None:
    messages = (Message("user", "zebra crossing"), Message("assistant", "yes"))
    ((prompted, _),) = _examples().prompted("con-0001", messages, _draw())
    assert prompted == messages


def test_shares_are_kept_and_a_seed_repeats_them() -> None:
    examples = _examples(share=0.6, own=0.25)

    def epoch(seed: int) -> list[str]:
        draw = random.Random(seed)  # noqa: S311
        return [
            examples.prompted("acc-0001", PASSWORD, draw)[0][0][-2].content for _ in range(2000)
        ]

    asked = epoch(1)
    own = sum(f"A: {ENTRIES[0].answer}" in text for text in asked)
    assert abs(own / 2000 - 0.6 * 0.25) < 0.03
    assert asked == epoch(1) != epoch(2)


def test_what_validates_reads_what_the_product_would_find(tokenizer: Tokenizer) -> None:
    examples = _examples()
    built = ChatExamples([Dialogue("ord-0001", "ord", PARCEL)], tokenizer, 900, "", True, examples)
    unseen = Dialogue("acc-0777", "acc", PASSWORD)
    (example,) = built.held_out([unseen])
    found = examples.handbook.find([PASSWORD[0].content])
    assert found
    asked = handbook_question(PASSWORD[0].content, [f.entry for f in found])
    assert asked in tokenizer.decode(example.ids)


def test_every_way_to_ask_is_used(tokenizer: Tokenizer) -> None:
    dialogue = Dialogue("acc-0001", "acc", PASSWORD, ("password reset please",))
    one = ChatExamples([dialogue], tokenizer, 900, "", True)
    every = ChatExamples([dialogue], tokenizer, 900, "", False)
    assert len(every(_draw())) == 2
    drawn = {one(random.Random(n))[0].ids for n in range(20)}  # noqa: S311
    assert drawn == {example.ids for example in every(_draw())}
