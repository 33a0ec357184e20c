"""Instruction fine-tuning: it learns, resumes, and adapters merge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint, load_checkpoint
from training.finetuning.chat import ChatConfig, ChatTask, finetune_chat
from training.finetuning.conversations import DialogueData, Example, encode_example
from training.finetuning.lora import LoraConfig, LoraLinear, add_lora, merged
from training.finetuning.packing import answer_losses, pack
from training.loop import LoopConfig
from training.model import Transformer
from training.optimizer import OptimizerConfig
from training.run import Paused, Run

Write = Callable[[str, list[dict[str, Any]]], Path]
ANSWERS = ["open the settings", "call me later", "claim the prize", "reset the password"]


def _dialogues(write_rows: Write) -> Path:
    rows = [
        {
            "id": f"t-{n}",
            "messages": [
                {"role": "user", "content": f"question {n % 4}"},
                {"role": "assistant", "content": ANSWERS[n % 4]},
            ],
        }
        for n in range(40)
    ]
    return write_rows("dialogues.jsonl", rows)


def _config(foundation: Path, data: Path, steps: int, **changes: Any) -> ChatConfig:
    loop = {"save_seconds": 0.0, **changes.pop("loop", {})}
    return ChatConfig(
        foundation=str(foundation),
        data=DialogueData(files=(str(data),), system_prompt="Be calm."),
        context_length=128,
        batch_size=4,
        device="cpu",
        loop=LoopConfig(
            steps=steps,
            optimizer=OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
            **loop,
        ),
        **changes,
    )


def in_pieces(config: ChatConfig, place: Path) -> Checkpoint:
    """Go on with a run that stops after every step until it ends; asserts that it did stop."""
    for attempt in range(10):
        run = Run.create(place, "chat", config, argv=[], resume=attempt > 0)
        try:
            finished = finetune_chat(config, run, resume=attempt > 0)
        except Paused:
            continue
        assert attempt > 1
        return finished
    raise AssertionError("the run did not end")


def test_one_batch_can_be_learned_by_heart(tokenizer: Tokenizer, transformer: Transformer) -> None:
    from assistant.conversation import Message

    examples = [
        encode_example([Message("user", str(n)), Message("assistant", a)], tokenizer, 128)
        for n, a in enumerate(ANSWERS)
    ]
    batch = pack([e for e in examples if e is not None])
    optimizer = torch.optim.AdamW(transformer.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = answer_losses(transformer, batch).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_only_counted_tokens_move_the_loss(transformer: Transformer, tokenizer: Tokenizer) -> None:
    example = Example((5, 6, 7, 8), (0, 0, 1, 1))
    batch = pack([example])
    losses = answer_losses(transformer, batch)
    logits = transformer(torch.tensor([[5, 6, 7, 8]]))[0]
    expected = -torch.log_softmax(logits, -1)[[1, 2], [7, 8]]
    torch.testing.assert_close(losses, expected)


def test_fine_tuning_leaves_a_chat_checkpoint_that_predicts_better(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    config = _config(foundation, _dialogues(write_rows), 30)
    run = Run.create(tmp_path / "run", "chat", config, argv=[])
    checkpoint = finetune_chat(config, run)
    assert checkpoint.task == "chat"
    saved = load_checkpoint(run.checkpoint)
    assert saved.extra["system_prompt"] == "Be calm."
    metrics = saved.extra["metrics"]
    assert metrics["validation_perplexity"] < 20  # the vocabulary has 320 ids
    assert metrics["training_loss"] < 2


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_ends(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    data = _dialogues(write_rows)
    whole = _config(foundation, data, 6)
    run = Run.create(tmp_path / "whole", "chat", whole, argv=[])
    expected = finetune_chat(whole, run).transformer.state_dict()
    stopped = _config(foundation, data, 6, loop={"stop_after": 1e-9})
    finished = in_pieces(stopped, tmp_path / "cut")
    found = finished.transformer.state_dict()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    run = Run.create(tmp_path / "cut", "chat", stopped, argv=[], resume=True)
    again = finetune_chat(stopped, run, resume=True).transformer.state_dict()
    assert all(torch.equal(again[name], value) for name, value in expected.items())


def test_an_adapter_starts_as_the_layer_it_stands_beside(transformer: Transformer) -> None:
    ids = torch.tensor([[5, 6, 7]])
    before = transformer(ids)
    trained = add_lora(transformer, LoraConfig(rank=4), seed=1)
    torch.testing.assert_close(transformer(ids), before)
    adapters = [m for m in transformer.modules() if isinstance(m, LoraLinear)]
    assert len(adapters) == 2 * 7
    assert trained == sum(m.lora_a.numel() + m.lora_b.numel() for m in adapters)
    assert not transformer.embed_tokens.weight.requires_grad


def test_merged_adapters_compute_the_same(transformer: Transformer) -> None:
    add_lora(transformer, LoraConfig(rank=4, alpha=8), seed=1)
    with torch.no_grad():
        for module in transformer.modules():
            if isinstance(module, LoraLinear):
                module.lora_b.normal_()
    ids = torch.tensor([[5, 6, 7]])
    plain = merged(transformer)
    assert not any(isinstance(m, LoraLinear) for m in plain.modules())
    torch.testing.assert_close(plain(ids), transformer(ids), rtol=1e-4, atol=1e-4)


def test_adapters_are_trained_and_resumed(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    data = _dialogues(write_rows)
    config = _config(foundation, data, 6, lora=LoraConfig(rank=4))
    expected = finetune_chat(config, Run.create(tmp_path / "whole", "chat", config, argv=[]))
    before = load_checkpoint(foundation).transformer.state_dict()
    after = expected.transformer.state_dict()
    assert torch.equal(before["embed_tokens.weight"], after["embed_tokens.weight"])
    name = "layers.0.mlp.up_proj.weight"
    assert not torch.equal(before[name], after[name])
    stopped = _config(foundation, data, 6, lora=LoraConfig(rank=4), loop={"stop_after": 1e-9})
    found = in_pieces(stopped, tmp_path / "cut")
    assert torch.equal(found.transformer.state_dict()[name], after[name])


def test_adapters_can_be_kept_apart_and_trained_further(
    foundation: Path, write_rows: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _dialogues(write_rows)
    lora = LoraConfig(rank=4, merge=False)
    config = _config(foundation, data, 4, lora=lora)
    first = finetune_chat(config, Run.create(tmp_path / "first", "chat", config, argv=[]))
    before = load_checkpoint(foundation).transformer.state_dict()
    name, base = "layers.0.mlp.up_proj", "layers.0.mlp.up_proj.base.weight"
    after = first.transformer.state_dict()
    assert torch.equal(after[base], before[f"{name}.weight"])
    assert after[f"{name}.lora_b"].any()

    config = _config(tmp_path / "first" / "checkpoint", data, 4, lora=lora)
    again = finetune_chat(config, Run.create(tmp_path / "again", "chat", config, argv=[]))
    further = again.transformer.state_dict()
    assert torch.equal(further[base], before[f"{name}.weight"])
    assert not torch.equal(further[f"{name}.lora_a"], after[f"{name}.lora_a"])
    assert "merged" not in capsys.readouterr().err

    config = _config(tmp_path / "first" / "checkpoint", data, 1)
    full = finetune_chat(config, Run.create(tmp_path / "full", "chat", config, argv=[]))
    assert not any(isinstance(m, LoraLinear) for m in full.transformer.modules())
    assert "adapters (rank 4, alpha 32) are merged" in capsys.readouterr().err


def test_a_row_longer_than_the_foundation_reads_is_cut_with_a_warning(
    foundation: Path, write_rows: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _config(foundation, _dialogues(write_rows), 1)
    config = ChatConfig(**(config.__dict__ | {"context_length": 4096}))
    finetune_chat(config, Run.create(tmp_path / "run", "chat", config, argv=[]))
    assert "the foundation reads 128 tokens" in capsys.readouterr().err


def test_validation_perplexity_is_the_mean_over_answer_tokens(
    tokenizer: Tokenizer, transformer: Transformer, tmp_path: Path
) -> None:
    examples = [Example((5, 6, 7), (0, 1, 1)), Example((9, 8), (0, 1))]
    config = ChatConfig(foundation="", context_length=128, device="cpu")
    metrics = ChatTask(transformer, tokenizer, examples, config, {}).evaluate()
    log_probabilities = []
    for example in examples:
        logits = torch.log_softmax(transformer(torch.tensor([example.ids]))[0], -1)
        for place, (token, counted) in enumerate(zip(example.ids, example.counted, strict=True)):
            if counted:
                log_probabilities.append(logits[place - 1, token].item())
    expected = -sum(log_probabilities) / 3
    assert metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)
