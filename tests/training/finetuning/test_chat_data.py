"""What the chat model learns from: the right tokens, and each conversation alone."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.conversation import Message, Note, encode_prompt, grounded_question
from assistant.errors import BadInputError
from assistant.tokenizer import MESSAGE_END, Tokenizer
from training.datasets import WRITTEN
from training.finetuning.conversations import (
    Dialogue,
    DialogueData,
    Example,
    encode_example,
    load_dialogues,
)
from training.finetuning.packing import IGNORED, PackedSource, pack, plan_rows
from training.model import Transformer

Write = Callable[[str, list[dict[str, Any]]], Path]


def _example(tokenizer: Tokenizer, question: str, answer: str) -> Example:
    messages = [Message("system", "Be calm."), Message("user", question)]
    example = encode_example([*messages, Message("assistant", answer)], tokenizer, 128)
    assert example is not None
    return example


def test_the_loss_counts_the_assistants_text_and_its_end_token_alone(tokenizer: Tokenizer) -> None:
    example = _example(tokenizer, "reset my password", "open the settings")
    batch = pack([[example]], 128)
    targets = [int(t) for t in batch.targets_BT[0] if t != IGNORED]
    assert targets == [*tokenizer.encode("open the settings"), tokenizer.special(MESSAGE_END)]
    # the first counted target is predicted from the last token of the prompt, as at inference
    prompt = encode_prompt(
        [Message("system", "Be calm."), Message("user", "reset my password")], tokenizer
    )
    first = int((batch.targets_BT[0] != IGNORED).nonzero()[0])
    assert batch.ids_BT[0, : first + 1].tolist() == prompt


def test_every_answer_of_a_longer_dialogue_counts(tokenizer: Tokenizer) -> None:
    turns = [Message("user", "a"), Message("assistant", "open")] * 2
    example = encode_example(turns, tokenizer, 128)
    assert example is not None
    counted = [i for i, c in zip(example.ids, example.counted, strict=True) if c]
    assert counted == [*tokenizer.encode("open"), tokenizer.special(MESSAGE_END)] * 2


def test_packed_conversations_get_the_logits_they_get_alone(
    tokenizer: Tokenizer, transformer: Transformer
) -> None:
    examples = [
        _example(tokenizer, "reset my password", "open the settings"),
        _example(tokenizer, "call me", "later"),
        _example(tokenizer, "free prize now", "the prize"),
    ]
    batch = pack([examples], 128)
    assert batch.documents_BT[0, -1] == -1, "this test wants padding too"
    packed = transformer(batch.ids_BT, batch.positions_BT, batch.mask_BTT)[0]
    start = 0
    for example in examples:
        alone = transformer(torch.tensor([example.ids]))[0]
        torch.testing.assert_close(
            packed[start : start + len(example.ids)], alone, rtol=1e-4, atol=1e-5
        )
        start += len(example.ids)


def test_no_target_reaches_into_the_next_conversation(tokenizer: Tokenizer) -> None:
    one = Example((5, 6, 7), (0, 1, 1))
    batch = pack([[one, one]], 8)
    assert batch.targets_BT[0].tolist() == [6, 7, IGNORED, 6, 7, IGNORED, IGNORED, IGNORED]
    assert batch.positions_BT[0, :6].tolist() == [0, 1, 2, 0, 1, 2]


def test_rows_hold_everything_once_and_never_too_much() -> None:
    draw = random.Random(1)  # noqa: S311
    lengths = [draw.randint(1, 50) for _ in range(500)]
    rows = plan_rows(lengths, 64)
    assert sorted(index for row in rows for index in row) == list(range(500))
    assert all(sum(lengths[index] for index in row) <= 64 for row in rows)
    assert sum(lengths) / (64 * len(rows)) > 0.8


def test_an_epoch_of_packed_rows_depends_on_its_number_alone() -> None:
    examples = [Example((n, n + 1), (0, 1)) for n in range(40)]

    def source() -> PackedSource:
        return PackedSource(lambda draw: list(examples), 8, 3, seed=1)

    first = source()
    seen: Counter[int] = Counter()
    while first.epoch < 1:
        batch = first.next()
        seen.update(
            int(i)
            for i, p in zip(batch.ids_BT.flatten(), batch.positions_BT.flatten(), strict=True)
            if p == 1
        )
    assert set(seen.values()) == {1}
    assert len(seen) == 40
    position = first.state()
    expected = [first.next().ids_BT.tolist() for _ in range(5)]
    second = source()
    second.load_state(position)
    assert [second.next().ids_BT.tolist() for _ in range(5)] == expected


def test_asks_become_examples_with_the_same_answer_and_share_a_split(write_rows: Write) -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "yes"}]
    path = write_rows(
        "acc.jsonl", [{"id": "acc-7", "messages": messages, "asks": ["two", "three"]}]
    )
    (dialogue,) = load_dialogues(DialogueData(files=(str(path),)))
    variants = dialogue.variants("Be calm.")
    assert [[m.content for m in v] for v in variants] == [
        ["Be calm.", "one", "yes"],
        ["Be calm.", "two", "yes"],
        ["Be calm.", "three", "yes"],
    ]
    assert dialogue.key == "acc-7"


def test_notes_go_in_front_of_the_question_as_the_product_puts_them() -> None:
    notes = (Note("Fees", "20p a day"),)
    dialogue = Dialogue(
        "gro-0001", "gro", (Message("user", "q"), Message("assistant", "a")), (), notes
    )
    assert dialogue.variants("")[0][0].content == grounded_question("q", notes)


def test_a_conversation_of_its_own_system_prompt_keeps_it() -> None:
    messages = (Message("system", "own"), Message("user", "q"), Message("assistant", "a"))
    assert Dialogue("x", "x", messages).variants("default")[0] == messages


GOOD = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
BAD_DIALOGUES = [
    ({"messages": [{"role": "user", "content": "q"}]}, "the assistant last"),
    ({"messages": GOOD[::-1]}, "in turn"),
    ({"messages": [{"role": "robot", "content": "a"}]}, "unknown role robot"),
    ({"messages": [{"role": "user"}]}, "messages with role and content"),
    ({"messages": []}, "roles are none"),
    ({"messages": 3}, "messages with role and content"),
    ({"messages": [GOOD[0], {"role": "assistant", "content": " "}]}, "text of message 2 is empty"),
    ({"messages": [GOOD[0], {"role": "assistant", "content": None}]}, "text of message 2 is empty"),
    ({"messages": GOOD, "asks": ["how", ""]}, "text of ask 2 is empty"),
    ({"messages": GOOD, "id": "first"}, r"id 'first' was there before: .*chat\.jsonl:1"),
]


@pytest.mark.parametrize(("row", "complaint"), BAD_DIALOGUES)
def test_a_dialogue_that_cannot_be_used_is_named_skipped_and_counted(
    write_rows: Write,
    row: dict[str, Any],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_rows("chat.jsonl", [{"messages": GOOD, "id": "first"}, row, {"messages": GOOD}])
    data = DialogueData(files=(str(path),), max_broken=1)
    assert [d.key for d in load_dialogues(data)] == ["first", "chat:3"]
    assert re.search(
        rf"warning: .*chat\.jsonl:2: .*{complaint}.*; skipped", capsys.readouterr().err
    )
    with pytest.raises(BadInputError, match=rf"chat\.jsonl:2: .*{complaint}.*data\.max_broken"):
        load_dialogues(replace(data, max_broken=0))


def test_the_written_dialogues_load() -> None:
    dialogues = load_dialogues(DialogueData())
    examples = sum(len(d.variants("s")) for d in dialogues)
    readme = (WRITTEN / "README.md").read_text(encoding="utf-8")
    said = f"{len(dialogues):,} dialogues give {examples:,} training examples"
    assert said in " ".join(readme.split())
    grounded = [d for d in dialogues if d.source in ("gro", "gr2")]
    assert all(d.notes for d in grounded)
    by_block: dict[tuple[str, int], set[str]] = {}
    for d in grounded:
        by_block.setdefault((d.source, (int(d.key[-4:]) - 1) // 5), set()).add(d.split)
    assert all(len(splits) == 1 for splits in by_block.values())
    assert {d.split for d in grounded} == {"train", "validation", "test"}


def test_a_conversation_whose_answer_is_cut_away_is_no_example(tokenizer: Tokenizer) -> None:
    messages = [Message("user", "call me later " * 50), Message("assistant", "yes")]
    assert encode_example(messages, tokenizer, 40) is None
