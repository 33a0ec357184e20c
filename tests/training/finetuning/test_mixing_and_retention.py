"""Sources mixed by weight, text against forgetting, and the figure that shows what is kept."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.tokenizer import END_OF_TEXT, Tokenizer
from training.data.broken import Broken
from training.finetuning.chat import ChatConfig, finetune_chat
from training.finetuning.conversations import DialogueData, load_dialogues
from training.finetuning.examples import ChatExamples
from training.finetuning.mixing import PlainTexts, check_weights, passes, text_examples
from training.finetuning.retention import BEFORE, METRIC, TEXTS, Retention, RetentionConfig
from training.loop import LoopConfig
from training.model import Transformer
from training.optimizer import OptimizerConfig
from training.run import Run

Write = Callable[[str, list[dict[str, Any]]], Path]
PROSE = "open the door and call the other one later, then reset it. "


def _dialogue(question: str, **more: str) -> dict[str, Any]:
    answer = {"role": "assistant", "content": "call me later"}
    return {"messages": [{"role": "user", "content": question}, answer], **more}


def test_a_weight_is_whole_passes_and_a_chance_for_the_rest() -> None:
    draw = random.Random(1)  # noqa: S311
    assert {passes(2.0, draw) for _ in range(50)} == {2}
    assert {passes(0.0, draw) for _ in range(50)} == {0}
    assert sum(passes(1.25, draw) for _ in range(4000)) / 4000 == pytest.approx(1.25, abs=0.03)


def test_an_epoch_reads_each_source_as_often_as_it_weighs(
    write_rows: Write, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    rows = [_dialogue(f"a {n}", source="first/part") for n in range(10)]
    rows += [_dialogue(f"b {n}", source="second") for n in range(10)]
    path = write_rows("chat.jsonl", [*rows, *(_dialogue(f"c {n}") for n in range(10))])
    (tmp_path / "book.txt").write_text(PROSE)
    dialogues = load_dialogues(DialogueData(files=(str(path),)))
    texts = PlainTexts([str(tmp_path / "book.txt")], tokenizer, 128, Broken(0))
    assert texts.sources == {"book"}
    weights = {"first": 3.0, "second": 0.0, "book": 2.0}
    examples = ChatExamples(dialogues, tokenizer, 128, "", one=False, weights=weights, texts=texts)
    found = [tokenizer.decode(list(example.ids)) for example in examples(random.Random(1))]  # noqa: S311
    kinds = Counter(next((k for k in "abc" if f"user\n{k} " in text), "text") for text in found)
    assert kinds == {"a": 30, "c": 10, "text": 2}


def test_weights_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights\.a = -1: expected 0 or more"):
        check_weights({"a": -1}, {"a"})
    with pytest.raises(ValueError, match=r"bok; did you mean 'book'\? There are: book, chat"):
        check_weights({"bok": 1}, {"chat", "book"})


def test_each_token_of_a_text_is_predicted_once(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.special(END_OF_TEXT), *tokenizer.encode(PROSE)]
    for length in (5, len(ids), 100):
        examples = text_examples(PROSE, tokenizer, length)
        assert all(2 <= len(example.ids) <= length for example in examples)
        assert all(all(example.counted) for example in examples)
        assert [i for example in examples for i in example.ids[1:]] == ids[1:]
    assert text_examples("", tokenizer, 8) == []


def test_bits_per_byte_equal_a_slow_count(
    tokenizer: Tokenizer, transformer: Transformer, tmp_path: Path
) -> None:
    texts = [PROSE * 3, "short", PROSE]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    kept = Retention(RetentionConfig(texts=(str(tmp_path),)), tokenizer, 64)
    nats = 0.0
    for text in texts:
        for example in text_examples(text.strip(), tokenizer, 64):
            logits = transformer(torch.tensor([example.ids]))[0].detach().log_softmax(-1)
            nats -= sum(float(logits[n, i]) for n, i in enumerate(example.ids[1:]))
    size = sum(len(text.strip().encode()) for text in texts)
    assert kept.bits_per_byte(transformer) == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    assert Retention(RetentionConfig(tokens=0), tokenizer, 64).bits_per_byte(transformer) is None


def test_the_projects_own_text_is_read(tokenizer: Tokenizer, transformer: Transformer) -> None:
    kept = Retention(RetentionConfig(tokens=10**6), tokenizer, 128)
    text = "".join(str(row) for row in TEXTS.read_text(encoding="utf-8").splitlines())
    assert 0.8 * len(text.encode()) < kept.bytes < len(text.encode())
    assert kept.bits_per_byte(transformer) is not None


def test_mixed_text_keeps_what_dialogues_alone_forget(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    data = write_rows("chat.jsonl", [_dialogue(f"question {n}") for n in range(40)])
    (tmp_path / "prose").mkdir()
    for number in range(20):
        (tmp_path / "prose" / f"{number}.txt").write_text(PROSE * 2)
    found = {}
    for name, texts in (("alone", ()), ("mixed", (str(tmp_path / "prose"),))):
        config = ChatConfig(
            foundation=str(foundation),
            data=DialogueData(files=(str(data),), system_prompt=""),
            texts=texts,
            retention=RetentionConfig(texts=(str(tmp_path / "prose" / "1.txt"),)),
            context_length=128,
            batch_size=4,
            device="cpu",
            loop=LoopConfig(steps=25, optimizer=OptimizerConfig(learning_rate=1e-2)),
        )
        run = Run.create(tmp_path / name, "chat", config, argv=[])
        found[name] = finetune_chat(config, run).extra["metrics"]
        evaluation = [row["evaluation"] for row in run.metrics() if "evaluation" in row][-1]
        assert evaluation[METRIC] == found[name][METRIC]
        assert set(run.metrics()[-1]["evaluation"]) >= {METRIC, "validation_loss"}
    assert found["alone"][BEFORE] == found["mixed"][BEFORE]
    assert found["mixed"][METRIC] < 0.5 * found["alone"][METRIC]
