"""Pretraining: batches, bits per byte, and the whole way from text to a model that learned."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_tokenizer, tiny_transformer
from training.__main__ import main
from training.checkpoint import load_checkpoint
from training.config import load_config
from training.data.prepare import PrepareConfig, prepare
from training.data.shards import TokenData
from training.pretraining.config import PretrainConfig
from training.pretraining.task import PretrainTask, WindowSource, token_bytes
from training.pretraining.train import pretrain
from training.run import Run

DATASETS = Path(__file__).parents[3] / "training" / "datasets"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    source = tmp_path / "source.jsonl"
    words = np.random.default_rng(0).integers(0, 50, (300, 30))
    rows = [json.dumps({"text": " ".join(f"the w{w}" for w in row)}) for row in words]
    source.write_text("\n".join(rows))
    config = PrepareConfig(validation_fraction=0.1)
    run = Run.create(tmp_path / "data", "prepare", config)
    prepare([source], tiny_tokenizer(), config, run)
    return run.directory


def test_every_window_is_read_once_an_epoch_in_another_order_each_time(data: Path) -> None:
    windows = TokenData(data, "validation", 40)
    source = WindowSource(windows, 7, seed=3)
    read = [row.tolist() for _ in range(len(windows)) for row in source.next().inputs_BT]
    epochs = [read[i * len(windows) : (i + 1) * len(windows)] for i in range(7)]
    expected = sorted(windows.window(i)[:-1].tolist() for i in range(len(windows)))
    assert all(sorted(epoch) == expected for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert source.epoch == pytest.approx(7.0)


def test_targets_are_the_next_tokens(data: Path) -> None:
    batch = WindowSource(TokenData(data, "train", 16), 4, seed=1).next()
    assert batch.inputs_BT.shape == batch.targets_BT.shape == (4, 16)
    assert torch.equal(batch.inputs_BT[:, 1:], batch.targets_BT[:, :-1])


def test_a_source_goes_on_from_its_saved_position_across_an_epoch_edge(data: Path) -> None:
    windows = TokenData(data, "validation", 40)
    source = WindowSource(windows, 5, seed=3)
    for _ in range(len(windows) // 5):
        source.next()
    state = json.loads(json.dumps(source.state()))
    again = WindowSource(windows, 5, seed=3)
    again.load_state(state)
    for _ in range(5):
        assert torch.equal(source.next().inputs_BT, again.next().inputs_BT)
    with pytest.raises(ValueError, match="same data"):
        again.load_state(state | {"windows": 1})


def test_bits_per_byte_equal_a_slow_count(data: Path) -> None:
    tokenizer, transformer = tiny_tokenizer(), tiny_transformer()
    held_out = TokenData(data, "validation", 40)
    task = PretrainTask(transformer, tokenizer, held_out, batch_size=3)
    with torch.no_grad():
        metrics = task.evaluate()
        bits, size = 0.0, 0
        for index in range(len(held_out)):
            window = held_out.window(index).tolist()
            probabilities = torch.softmax(transformer(torch.tensor([window[:-1]]))[0].double(), -1)
            for position, target in enumerate(window[1:]):
                if target:  # the end of a document stands for no byte
                    bits -= math.log2(float(probabilities[position, target]))
                    size += len(tokenizer.decode_bytes([target]))
    assert metrics["bits_per_byte"] == pytest.approx(bits / size, rel=1e-5)


def test_special_tokens_stand_for_no_bytes() -> None:
    sizes = token_bytes(tiny_tokenizer()).tolist()
    assert sizes[:3] == [0, 0, 0]
    assert all(
        size == len(tiny_tokenizer().decode_bytes([i])) for i, size in enumerate(sizes) if i > 2
    )


def test_two_hundred_tiny_steps_on_text_learn_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From text to samples by the commands people type."""

    def training(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    texts = [DATASETS / "con.jsonl", DATASETS / "acc.jsonl"]
    tokenizer, data, out = tmp_path / "t", tmp_path / "d", tmp_path / "p"
    training("tokenizer", *texts, "--output", tokenizer, "--set", "vocabulary_size=512")
    training(
        "prepare", *texts, "--tokenizer", tokenizer, "--output", data,
        "--set", "validation_fraction=0.05",
    )  # fmt: skip
    start = ("pretrain", "--preset", "tiny", "--data", data, "--output", out)
    closing = training(*start, "--set", "loop.eval_every=20")
    evaluations = [r["evaluation"] for r in Run(out, "").metrics() if "evaluation" in r]
    learned = [evaluation["bits_per_byte"] for evaluation in evaluations]
    assert learned[-1] < 0.85 * learned[0]
    assert learned[-1] < 2.8  # untrained: log2(512) bits a token of about 2 bytes
    assert f"bits_per_byte: {learned[-1]:.5f}"[:-2] in closing
    assert "tokens_per_second: " in closing
    assert "sample 1: The " in closing
    assert len(json.loads((out / "samples.json").read_text())) == 3

    checkpoint = load_checkpoint(out / "checkpoint")
    assert checkpoint.task == "pretrained"
    assert checkpoint.tokenizer.vocabulary_size == 512
    assert checkpoint.provenance["data"].keys() == {"train-00000.bin", "validation-00000.bin"}
    assert training(*start, "--resume") == closing  # nothing left to do, the same figures
    completed = training("sample", out, "My password", "--max-tokens", 8)
    assert completed.startswith("My password")
    assert len(completed) > len("My password\n")


def test_the_printed_tokens_a_second_are_tokens_by_elapsed_time(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(PretrainConfig, "tiny", overrides=["loop.steps=5", f"data={data}"])
    pretrain(config, Run.create(tmp_path / "r", "pretrain", config))
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["tokens"] == 5 * config.batch_size * config.context_length
    expected = summary["tokens"] / summary["seconds"]
    assert summary["tokens_per_second"] == pytest.approx(expected, rel=0.01)


def test_a_shape_that_cannot_be_is_refused() -> None:
    model = load_config(PretrainConfig, "tiny").model
    with pytest.raises(ValueError, match="kv_heads 2 must divide heads 3"):
        dataclasses.replace(model, heads=3, kv_heads=2).architecture(512)
    with pytest.raises(ValueError, match="must be even"):
        dataclasses.replace(model, head_dim=7).architecture(512)
