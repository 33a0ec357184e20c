"""Contrastive fine-tuning: the pairs, the loss, and that it learns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.encoder import tiny_encoder
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import load_config
from training.encoder import Encoder
from training.finetuning.conversations import DialogueData
from training.finetuning.encoder import (
    EncoderConfig,
    EncoderTask,
    Group,
    PairSource,
    finetune_encoder,
    intent_groups,
)
from training.loop import LoopConfig
from training.optimizer import OptimizerConfig
from training.run import Run

Write = Callable[[str, list[dict[str, Any]]], Path]
GROUPS = [Group((f"{c} one", f"{c} two", f"two {c}"), f"answer {c}", c) for c in "abcdefgh"]


def _source(groups: list[Group], intents: list[Group] | None = None, **settings: Any) -> PairSource:
    config = EncoderConfig("x", **({"batch_size": 4} | settings))
    return PairSource(groups, intents or [], tiny_encoder().tokenizer, config)


def _texts(source: PairSource, batches: int) -> list[list[tuple[str, str]]]:
    seen: list[list[tuple[str, str]]] = []
    encode = source.batch

    def record(pairs: Any) -> Any:
        seen.append(list(pairs))
        return encode(pairs)

    source.batch = record  # type: ignore[method-assign]
    for _ in range(batches):
        source.next()
    return seen


def test_a_pair_is_of_one_group_and_no_group_is_twice_in_a_batch() -> None:
    intents = [Group(("red", "rot")), Group(("blue", "blau"))]
    owner = {text: g for g in [*GROUPS, *intents] for text in (*g.texts, g.answer)}
    batches = _texts(_source(GROUPS, intents, intent_share=0.25), 40)
    answers = 0
    for pairs in batches:
        groups = [owner[first] for first, _ in pairs]
        assert [owner[second] for _, second in pairs] == groups
        assert len(set(groups)) == 4
        assert sum(group in intents for group in groups) == 1
        assert all(first != second for first, second in pairs)
        answers += sum(second.startswith("answer") for _, second in pairs)
    assert 0.15 < answers / 120 < 0.45


def test_an_epoch_has_each_dialogue_once_and_a_position_is_returned_to() -> None:
    batches = _texts(_source(GROUPS, answer_share=0.0), 2)
    assert len({first[0] if first[0] != "t" else first[-1] for b in batches for first, _ in b}) == 8
    source = _source(GROUPS)
    source.next()
    position = source.state()
    expected = [source.next().ids_BT.tolist() for _ in range(5)]
    other = _source(GROUPS)
    other.load_state(position)
    assert [other.next().ids_BT.tolist() for _ in range(5)] == expected


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_batches_are_of_one_topic_in_the_share_of_epochs_asked_for(share: float) -> None:
    groups = [
        Group((f"{topic} {n} one", f"{topic} {n} two"), "", topic)
        for n in range(20)
        for topic in ("wifi", "phone", "mail")
    ]
    batches = _texts(_source(groups, by_topic=share, answer_share=0.0), 60)
    topics = [len({first.split()[0] for first, _ in pairs}) for pairs in batches]
    alone = sum(count == 1 for count in topics) / len(topics)
    assert alone > 0.7 if share else alone < 0.3


def test_the_loss_is_that_of_finding_the_partner_both_ways() -> None:
    source = _source(GROUPS)
    encoder = tiny_encoder().transformer
    assert isinstance(encoder, Encoder)
    task = EncoderTask(encoder, source, [], source.config, {})
    batch = source.next()
    with torch.no_grad():
        summed, count = task.loss(batch)
        vectors = task.vectors(batch).double().numpy()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    expected = 0.0
    for a, b in ((vectors[:4], vectors[4:]), (vectors[4:], vectors[:4])):
        odds = np.exp(a @ b.T / 0.05)
        expected -= np.log(np.diag(odds) / odds.sum(axis=1)).sum()
    assert count == 8
    assert float(summed) == pytest.approx(expected, rel=1e-4)


def test_too_few_groups_for_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        _source(GROUPS[:3])


def test_intents_are_read_from_texts_or_messages(write_rows: Write) -> None:
    rows = [
        {"text": "a", "intent": "x"},
        {"messages": [{"role": "user", "content": "b"}], "intent": "x"},
        {"text": "alone", "intent": "y"},
    ]
    assert intent_groups([write_rows("q.jsonl", rows)]) == [Group(("a", "b"))]
    with pytest.raises(ValueError, match=r"r\.jsonl:1"):
        intent_groups([write_rows("r.jsonl", [{"text": "a"}])])


def test_training_brings_what_means_the_same_together(tmp_path: Path, write_rows: Write) -> None:
    words = ["router", "refund", "parcel", "login", "printer", "invoice", "battery", "webcam"]
    rows = [
        {
            "id": f"acc-{n:04d}",
            "topic": "t/x",
            "messages": [
                {"role": "user", "content": f"my {word} fails"},
                {"role": "assistant", "content": f"look at the {word}"},
            ],
            "asks": [f"{word} broken", f"help with {word} please"],
        }
        for n, word in enumerate(words * 5)
    ]
    save_checkpoint(tmp_path / "start", tiny_encoder())
    config = EncoderConfig(
        foundation=str(tmp_path / "start"),
        data=DialogueData(files=(str(write_rows("acc.jsonl", rows)),)),
        batch_size=6,
        loop=LoopConfig(steps=30, threads=1, optimizer=OptimizerConfig(learning_rate=2e-3)),
    )
    run = Run.create(tmp_path / "run", "encoder", config)
    finetune_encoder(config, run)
    losses = [row["loss"] for row in run.metrics() if "loss" in row]
    assert losses[-1] < losses[0] / 2
    before = tiny_encoder().transformer.state_dict()
    after = load_checkpoint(run.checkpoint)
    same = {
        name: torch.equal(before[name], t) for name, t in after.transformer.state_dict().items()
    }
    assert all(same[name] for name in same if name.startswith("embeddings."))
    assert not any(same[name] for name in same if name.endswith("query.weight"))
    assert after.provenance["stage"] == "finetune encoder"
    assert json.loads((run.directory / "data.json").read_text())["acc.jsonl"]


def test_the_preset_loads() -> None:
    assert load_config(EncoderConfig, "handbook").loop.steps == 300
