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

from assistant.conversation import (
    Message,
    Note,
    encode_conversation,
    encode_prompt,
    grounded_question,
)
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
from training.finetuning.mixing import text_examples
from training.finetuning.packing import (
    IGNORED,
    PackedSource,
    answer_loss,
    answer_losses,
    pack,
    plan_batches,
    shared_start,
)
from training.model import Transformer
from training.packing import Packing

Write = Callable[[str, list[dict[str, Any]]], Path]


def _example(tokenizer: Tokenizer, question: str, answer: str, system: str = "Be calm.") -> Example:
    messages = [Message("system", system), Message("user", question)]
    example = encode_example([*messages, Message("assistant", answer)], tokenizer, 128)
    assert example is not None
    return example


def test_the_loss_counts_the_assistants_text_and_its_end_token_alone(tokenizer: Tokenizer) -> None:
    example = _example(tokenizer, "reset my password", "open the settings")
    batch = pack([example])
    targets = [int(t) for t in batch.targets_KT[0] if t != IGNORED]
    assert targets == [*tokenizer.encode("open the settings"), tokenizer.special(MESSAGE_END)]
    # the first counted target is predicted from the last token of the prompt, as at inference
    prompt = encode_prompt(
        [Message("system", "Be calm."), Message("user", "reset my password")], tokenizer
    )
    first = int((batch.targets_KT[0] != IGNORED).nonzero()[0])
    assert batch.ids_KT[0, : first + 1].tolist() == prompt


def test_every_answer_of_a_longer_dialogue_counts(tokenizer: Tokenizer) -> None:
    turns = [Message("user", "a"), Message("assistant", "open")] * 2
    example = encode_example(turns, tokenizer, 128)
    assert example is not None
    counted = [i for i, c in zip(example.ids, example.counted, strict=True) if c]
    assert counted == [*tokenizer.encode("open"), tokenizer.special(MESSAGE_END)] * 2


@pytest.mark.parametrize("other", ["Be calm.", "Be quick."], ids=["shared start", "own start"])
def test_packed_conversations_get_the_logits_they_get_alone(
    other: str, tokenizer: Tokenizer, transformer: Transformer
) -> None:
    examples = [
        _example(tokenizer, "reset my password", "open the settings"),
        _example(tokenizer, "call me", "later", other),
        _example(tokenizer, "free prize now", "the prize"),
    ]
    batch = pack(examples)
    assert len(set(batch.lengths_K.tolist())) > 1, "this test wants padding too"
    start = len(encode_conversation([Message("system", "Be calm.")], tokenizer)[0])
    assert (batch.shared > start) == (other == "Be calm.")
    packing = Packing.of(batch.lengths_K, batch.shared)
    ids_N = batch.ids_KT.flatten()[packing.place_N]
    assert len(ids_N) == batch.computed
    logits = transformer(ids_N[None], packing)[0]
    for row, example in zip(packing.token_KT, examples, strict=True):
        alone = transformer(torch.tensor([example.ids]))[0]
        found = logits[row[: len(example.ids)]]
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


def test_packed_losses_and_gradients_are_those_of_the_conversations_alone(
    tokenizer: Tokenizer, transformer: Transformer
) -> None:
    examples = [
        _example(tokenizer, "reset my password", "open the settings"),
        _example(tokenizer, "call me", "later"),
        *text_examples("open the door", tokenizer, 64),
    ]
    found = []
    for batches in ([pack(examples)], [pack([example]) for example in examples]):
        transformer.zero_grad()
        for batch in batches:
            answer_loss(transformer, batch)[0].backward()
        losses = torch.cat([answer_losses(transformer, batch) for batch in batches])
        found.append(
            [
                losses.detach(),
                *(p.grad.clone() for p in transformer.parameters() if p.grad is not None),
            ]
        )
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_no_target_reaches_into_the_next_conversation() -> None:
    batch = pack([Example((5, 6, 7), (0, 1, 1)), Example((5, 8), (0, 1))])
    assert batch.targets_KT.tolist() == [[6, 7, IGNORED], [8, IGNORED, IGNORED]]
    assert batch.shared == 0  # the 5 predicts: each conversation's own


def test_what_is_shared_ends_before_what_predicts() -> None:
    one, two = Example((1, 2, 3, 4, 5), (0, 0, 0, 0, 1)), Example((1, 2, 3, 4, 6), (0, 0, 0, 0, 1))
    assert shared_start([one, two]) == 3
    assert shared_start([one, Example((1, 2, 9), (0, 0, 1))]) == 1
    assert shared_start([one, Example((1, 2), (1, 1))]) == 0


def test_batches_hold_everything_once_and_never_too_much() -> None:
    draw = random.Random(1)  # noqa: S311
    texts = [Example((7,) * 9, (1,) * 9)] * 5
    chats = [Example((1, 2, 3, *(n + 9,) * draw.randint(2, 40)), ()) for n in range(500)]
    chats = [Example(e.ids, (0,) * (len(e.ids) - 1) + (1,)) for e in chats]
    examples = [*chats, *texts]
    plan = plan_batches(examples, 128)
    assert sorted(index for batch in plan for index in batch) == list(range(505))
    batches = [pack([examples[index] for index in batch]) for batch in plan]
    assert all(batch.computed <= 128 for batch in batches)
    assert sum(batch.computed for batch in batches) / (128 * len(batches)) > 0.9
    for chosen, batch in zip(plan, batches, strict=True):
        assert {index >= 500 for index in chosen} in ({True}, {False})
        assert batch.shared == (0 if chosen[0] >= 500 else 3) or len(chosen) == 1


def test_an_epoch_of_packed_batches_depends_on_its_number_alone() -> None:
    examples = [Example((n, n + 1), (0, 1)) for n in range(40)]

    def source() -> PackedSource:
        return PackedSource(lambda draw: list(examples), 24, seed=1)

    first = source()
    seen: Counter[int] = Counter()
    while first.epoch < 1:
        seen.update(first.next().ids_KT[:, 0].tolist())
    assert seen == Counter(range(40))
    position = first.state()
    expected = [first.next().ids_KT.tolist() for _ in range(5)]
    second = source()
    second.load_state(position)
    second.skip()
    assert [second.next().ids_KT.tolist() for _ in range(4)] == expected[1:]


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
