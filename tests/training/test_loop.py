"""The training loop: exact resume, exact accumulation, fast failure."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.tiny import tiny_transformer
from tests.support.tiny_task import MaskedTask, RaggedSource
from training import loop as loop_module
from training.checkpoint import load_checkpoint, load_state
from training.loop import LoopConfig, train
from training.optimizer import OptimizerConfig, build_optimizers
from training.run import Paused, Run

CONFIG = LoopConfig(
    steps=24,
    accumulate=3,
    eval_every=8,
    save_every=5,
    save_seconds=0,
    log_every=1,
    keep_state=True,
    optimizer=OptimizerConfig(kind="muon+adamw"),
)


def make_run(directory: Path, config: LoopConfig, resume: bool = False) -> Run:
    return Run.create(directory, "test", config, ["test"], resume)


def start(
    directory: Path, config: LoopConfig = CONFIG, resume: bool = False, **faults: Any
) -> tuple[MaskedTask, dict[str, float]]:
    task = MaskedTask(tiny_transformer(), noise=True)
    for name, value in faults.items():
        setattr(task, name, value)
    run = make_run(directory, config, resume)
    return task, train(task.transformer, task, RaggedSource(4), config, run, resume)


def losses(directory: Path) -> list[tuple[int, Any, Any, Any]]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(r["step"], r.get("loss"), r.get("gradient_norm"), r.get("evaluation")) for r in rows]


@pytest.mark.parametrize("fail_at", [23, 38, 52, 61], ids=lambda call: f"micro-batch {call}")
@pytest.mark.parametrize("kind", ["adamw", "muon+adamw"])
def test_a_killed_run_that_resumes_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, fail_at: int, kind: Any
) -> None:
    # 4 x 3 of 40 rows a step: the epoch ends inside a step; micro-batches 23, 38 and 52 are
    # inside a step's accumulation, and all of them lie beyond the last save at step 5, 10, ...
    config = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(kind=kind))
    straight, metrics = start(tmp_path / "straight", config)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "killed", config, fail_at=fail_at)
    resumed, metrics_again = start(tmp_path / "killed", config, resume=True)

    assert losses(tmp_path / "killed") == losses(tmp_path / "straight")
    for name, tensor in straight.transformer.state_dict().items():
        assert torch.equal(tensor, resumed.transformer.state_dict()[name]), name
    kept, state = load_state(tmp_path / "straight" / "checkpoint")
    kept_again, state_again = load_state(tmp_path / "killed" / "checkpoint")
    assert kept.keys() == kept_again.keys()
    assert all(torch.equal(kept[name], kept_again[name]) for name in kept)
    assert any("momentum_buffer" in name for name in kept) == (kind == "muon+adamw")
    assert state["source"] == state_again["source"]
    for key in ("training_loss", "mean_logit", "steps", "tokens"):
        assert metrics[key] == metrics_again[key]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    _, metrics = start(tmp_path)
    task, again = start(tmp_path, resume=True)
    assert task.calls == 0
    assert again == metrics


def test_a_run_that_pauses_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    straight, _ = start(tmp_path / "straight")
    pausing = dataclasses.replace(CONFIG, stop_after=1e-9)
    with pytest.raises(Paused):
        start(tmp_path / "paused", pausing)
    with pytest.raises(Paused):
        start(tmp_path / "paused", pausing, resume=True)
    resumed, _ = start(tmp_path / "paused", resume=True)
    for name, tensor in straight.transformer.state_dict().items():
        assert torch.equal(tensor, resumed.transformer.state_dict()[name]), name


def gradients(batch_size: int, accumulate: int, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The normalised gradients of one step, before clipping."""
    task = MaskedTask(tiny_transformer())
    config = LoopConfig(steps=1, accumulate=accumulate)
    found: list[Tensor] = []

    def clip(self: Any, divisor: float) -> float:
        found.extend(p.grad / divisor for p in task.transformer.parameters() if p.grad is not None)
        return 0.0

    monkeypatch.setattr(loop_module.Optimizers, "clip", clip)
    loop = loop_module._Loop(
        task.transformer, task, RaggedSource(batch_size), config, Run(Path(), "test")
    )
    loop._step(0.0, 1.0)
    return found


@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 8), (1, 32), (16, 2)])
def test_a_step_is_the_same_however_it_is_cut_into_micro_batches(
    batch_size: int, accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gradients(32, 1, monkeypatch)
    cut = gradients(batch_size, accumulate, monkeypatch)
    for one, other in zip(whole, cut, strict=True):
        assert one.abs().max() > 0
        assert torch.allclose(one, other, rtol=0, atol=1e-6)


def test_one_batch_overfits(tmp_path: Path) -> None:
    config = LoopConfig(
        steps=150, optimizer=OptimizerConfig(learning_rate=1e-2, weight_decay=0.0), log_every=50
    )
    task = MaskedTask(tiny_transformer())
    source = RaggedSource(4, rows=4)
    metrics = train(task.transformer, task, source, config, make_run(tmp_path, config))
    assert metrics["training_loss"] < 0.05


def test_a_loss_that_is_not_finite_fails_at_once_and_leaves_the_weights(tmp_path: Path) -> None:
    task = MaskedTask(tiny_transformer())
    task.poison_at = 4
    config = LoopConfig(steps=24)
    with pytest.raises(ValueError, match=r"step 4: lower the learning rates"):
        train(task.transformer, task, RaggedSource(4), config, make_run(tmp_path, config))
    assert all(torch.isfinite(p).all() for p in task.transformer.parameters())


def test_a_step_without_targets_is_an_error(tmp_path: Path) -> None:
    source = RaggedSource(4)
    source.mask.zero_()
    task = MaskedTask(tiny_transformer())
    config = LoopConfig(steps=2)
    with pytest.raises(ValueError, match="no targets"):
        train(task.transformer, task, source, config, make_run(tmp_path, config))


def test_a_time_budget_ends_the_run_decayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000))  # every look at the clock is a second later
    monkeypatch.setattr(loop_module.time, "monotonic", lambda: float(next(clock)))
    config = dataclasses.replace(
        CONFIG, steps=10_000, max_seconds=200, decay=0.5, eval_every=0, save_every=0, accumulate=1
    )
    _, metrics = start(tmp_path, config)
    assert 10 < metrics["steps"] < 200
    rows = [row for row in Run(tmp_path, "test").metrics() if "loss" in row]
    assert max(r["learning_rate"] for r in rows) == 1.0
    assert rows[-1]["learning_rate"] < 0.1


def test_resuming_with_another_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, fail_at=20)
    task = MaskedTask(tiny_transformer(qk_norm=True))
    with pytest.raises(ValueError, match="settings of the first start"):
        train(
            task.transformer, task, RaggedSource(4), CONFIG, make_run(tmp_path, CONFIG, True), True
        )


def test_the_final_checkpoint_loads_and_carries_no_optimizer_state(tmp_path: Path) -> None:
    task, _ = start(tmp_path, dataclasses.replace(CONFIG, keep_state=False))
    loaded = load_checkpoint(tmp_path / "checkpoint")
    for name, tensor in task.transformer.state_dict().items():
        assert torch.equal(tensor, loaded.transformer.state_dict()[name])
    assert load_state(tmp_path / "checkpoint")[0] == {}


def test_frozen_parameters_stay_and_are_not_saved_twice(tmp_path: Path) -> None:
    task = MaskedTask(tiny_transformer())
    task.transformer.embed_tokens.weight.requires_grad_(False)
    before = task.transformer.embed_tokens.weight.clone()
    config = dataclasses.replace(CONFIG, steps=3)
    train(task.transformer, task, RaggedSource(4), config, make_run(tmp_path, config))
    assert torch.equal(before, task.transformer.embed_tokens.weight)
    saved, _ = load_state(tmp_path / "checkpoint")
    assert "module.embed_tokens.weight" not in saved
    assert len(build_optimizers(task.transformer, config.optimizer).parameters()) > 0
