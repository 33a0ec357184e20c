"""Plans: counted memory, and micro-batches that leave the step as it is."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from tests.support.tiny import tiny_transformer
from training.__main__ import main
from training.config import load_config
from training.memory import Need, average_bytes, fitted, need, saved_bytes
from training.optimizer import OptimizerConfig, build_optimizers
from training.planning import Plan, flops_per_token, rows_of_table
from training.pretraining import train as train_module
from training.pretraining.config import PretrainConfig


def test_saved_bytes_are_those_of_the_tensors_that_backward_needs() -> None:
    x = torch.ones(10, 20, requires_grad=True)
    w = torch.ones(20, 30, requires_grad=True)
    assert saved_bytes(lambda: torch.mm(x, w).sum()) == 4 * (10 * 20 + 20 * 30)
    assert saved_bytes(x.sum) == 0


def test_memory_grows_with_the_sequence_and_not_with_the_weights() -> None:
    config = OptimizerConfig(kind="muon+adamw")
    short, long = (need(tiny_transformer(), length, config) for length in (16, 64))
    assert short.weights == long.weights
    assert 3.5 < long.sequence / short.sequence < 5
    hidden = 4 * 64 * 64
    assert long.sequence > 10 * hidden  # two layers keep at least that many [64, 64] each


@pytest.mark.parametrize("kind", ["adamw", "muon+adamw"])
def test_averages_are_counted_as_the_optimizers_keep_them(kind: str) -> None:
    model = tiny_transformer()
    config = OptimizerConfig(kind=kind)  # type: ignore[arg-type]
    optimizers = build_optimizers(model, config)
    model(torch.arange(8)[None]).sum().backward()
    optimizers.step()
    kept = sum(t.numel() * 4 for t in optimizers.state_tensors().values() if t.numel() > 1)
    assert average_bytes(model, config) == kept


def test_a_micro_batch_is_halved_until_it_fits() -> None:
    assert Need(0, 100, 10).largest(1000) == 60
    assert Need(0, 100, 10).largest(50) == 1
    assert fitted(64, 4, 20) == (16, 16)
    assert fitted(64, 4, 64) == (64, 4)
    assert fitted(6, 1, 2) == (3, 2)  # an odd number cannot be halved


def test_pretraining_fits_its_micro_batch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(PretrainConfig, "tiny")
    model = tiny_transformer()
    needed = need(model, config.context_length, config.loop.optimizer)
    room = int((needed.training + 9.5 * needed.sequence) / 0.7)
    monkeypatch.setattr(train_module, "free_bytes", lambda device: room)
    fit = train_module.fit(config, model, torch.device("cpu"))
    assert (fit.batch_size, fit.loop.accumulate) == (8, 4)
    assert "micro-batches of 8 sequences" in capsys.readouterr().err
    monkeypatch.setattr(train_module, "free_bytes", lambda device: 10**12)
    assert train_module.fit(config, model, torch.device("cpu")) == config
    monkeypatch.setattr(train_module, "free_bytes", lambda device: 0)
    odd = dataclasses.replace(config, batch_size=3)
    assert train_module.fit(odd, model, torch.device("cpu")).batch_size == 3
    assert "choose a smaller" in capsys.readouterr().err


def test_operations_are_those_of_the_matrices_and_of_attention() -> None:
    model = tiny_transformer()
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    a = model.architecture
    assert flops_per_token(a, 0) == 6 * matrices
    # one layer's scores and values: 2 products of 2 T E H operations, half of them, three times
    per_layer = 3 * 2 * 2 * 100 * a.heads * a.head_dim / 2
    assert flops_per_token(a, 100) - flops_per_token(a, 0) == a.layers * per_layer


def test_a_plan_tells_the_time_of_all_steps_and_what_a_budget_covers() -> None:
    plan = Plan("x", 2_000_000, Need(8, 16, 4), 30, 16, 4, 1_000_000, 500.0, 500.0)
    _, (row,) = rows_of_table([plan])
    assert row[0] == "x"
    assert "500" in row
    assert "33:20" in row
    assert row[-1] == "8:20: 25.0% of the steps"


def test_the_command_measures_a_preset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "plan", "--preset", "tiny", "--seconds", "0"])
    main()
    printed = capsys.readouterr().out
    assert printed.startswith("preset: tiny\n")
    for key in ("tokens/s", "largest micro-batch", "all steps", "parameters: 0.1"):
        assert key in printed
