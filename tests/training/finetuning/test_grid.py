"""Training through the rounding to 4 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.tokenizer import Tokenizer
from tests.training.finetuning.test_chat_finetuning import _config, _dialogues, in_pieces
from tests.training.tiny_models import shape
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.exporting.quantization import quantize_int4_symmetric
from training.finetuning.chat import finetune_chat
from training.finetuning.compensation import (
    Rounded,
    compensate,
    compensated,
    lies_on,
    plainly_rounded,
)
from training.finetuning.conversations import Example
from training.finetuning.grid import GridConfig, put_on_grid, rounded_weights, trained_on_grid
from training.finetuning.lora import LoraConfig
from training.finetuning.packing import pack
from training.model import Transformer
from training.optimizer import OptimizerConfig
from training.precision import Precision
from training.run import Run
from training.symmetric_grid import BLOCK, best_scales, on_grid

Write = Callable[[str, list[dict[str, Any]]], Path]
GRID = GridConfig(bits=4, calibration_tokens=400)


@pytest.fixture
def transformer(tokenizer: Tokenizer) -> Transformer:
    """A transformer whose matrices have whole blocks of columns."""
    model = Transformer(replace(shape(tokenizer.vocabulary_size), feed_forward=64), 128)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def _normal(*size: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_a_value_becomes_the_nearest_of_sixteen_points() -> None:
    scales = torch.tensor([[0.5, -2.0]])
    values = torch.linspace(-20, 20, 2 * BLOCK).view(1, -1)
    found = on_grid(values, scales)
    for block, scale in enumerate((0.5, -2.0)):
        points = scale * torch.arange(-8, 8)
        for value, point in zip(
            values[0, block * BLOCK :][:BLOCK], found[0, block * BLOCK :], strict=False
        ):
            assert abs(point - value) == (points - value).abs().min()


def test_scales_are_never_worse_than_the_largest_value_on_the_last_code() -> None:
    values = _normal(20, 3 * BLOCK)
    blocks = values.unflatten(-1, (-1, BLOCK))
    largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))[..., 0]
    plain = (on_grid(values, largest / -8) - values).square().sum()
    assert (on_grid(values, best_scales(values)) - values).square().sum() < plain
    assert torch.equal(on_grid(torch.zeros(1, BLOCK), best_scales(torch.zeros(1, BLOCK))),
                       torch.zeros(1, BLOCK))  # fmt: skip


def test_errors_are_made_good_by_columns_that_say_the_same() -> None:
    # inputs that depend on each other: a few causes, and little of their own
    x = _normal(4000, 6) @ _normal(6, 3 * BLOCK, seed=4) + 0.3 * _normal(4000, 3 * BLOCK, seed=5)
    weight = _normal(40, 3 * BLOCK, seed=6)
    found = compensated(weight, x.T @ x / len(x))
    lost = (x @ (found.weight() - weight).T).square().mean()
    plain = (x @ (on_grid(weight, best_scales(weight)) - weight).T).square().mean()
    assert lost < 0.35 * plain


def test_inputs_that_tell_nothing_about_each_other_are_rounded_each_for_itself() -> None:
    weight = _normal(24, 2 * BLOCK)
    found = compensated(weight, torch.eye(2 * BLOCK))
    torch.testing.assert_close(found.values_NK, weight)
    torch.testing.assert_close(found.weight(), on_grid(weight, best_scales(weight)))


def test_a_whole_model_predicts_better_when_its_errors_are_made_good(
    foundation: Path, transformer: Transformer
) -> None:
    batches = [
        pack([Example(tuple((n * k * 7) % 300 + 3 for k in range(1, 40)), (0,) + (1,) * 38)])
        for n in range(1, 30)
    ]
    ids = torch.stack([batch.ids_KT[0] for batch in batches])
    with torch.no_grad():
        expected = transformer(ids).log_softmax(-1)

    def divergence(model: Transformer) -> float:
        with torch.no_grad():
            found = model(ids).log_softmax(-1)
        return float((expected.exp() * (expected - found)).sum(-1).mean())

    plain = load_checkpoint(foundation).decoder
    plain.load_state_dict(transformer.state_dict())
    with torch.no_grad():
        for module in [m for m in plain.modules() if hasattr(m, "weight")]:
            weight = module.weight
            if isinstance(weight, torch.Tensor) and weight.ndim == 2:
                weight.copy_(on_grid(weight, best_scales(weight)))
    good = load_checkpoint(foundation).decoder
    good.load_state_dict(transformer.state_dict())
    rounded = compensate(good, batches)
    assert set(rounded) == {"embed_tokens"} | {
        f"layers.{n}.{m}"
        for n in range(2)
        for m in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                  "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    }  # fmt: skip
    assert torch.equal(good.embed_tokens.weight, rounded["embed_tokens"].weight())
    assert divergence(good) < divergence(plain)


def test_the_gradient_passes_the_rounding_unchanged(transformer: Transformer) -> None:
    name = "layers.0.mlp.up_proj"
    module = transformer.get_submodule(name)
    weight = module.weight.detach().clone()
    put_on_grid(transformer, {name: Rounded(weight, best_scales(weight))})
    ids = torch.tensor([[5, 6, 7, 8]])
    transformer(ids).square().sum().backward()
    found = module.parametrizations.weight.original.grad
    plain = rounded_weights(transformer)
    assert not trained_on_grid(plain)
    plain(ids).square().sum().backward()
    expected = plain.get_submodule(name).weight.grad
    assert expected is not None
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain.get_submodule(name).weight, module.weight)


def test_what_was_trained_on_the_grid_is_exported_exactly(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    config = _config(foundation, _dialogues(write_rows), 12, grid=GRID)
    trained = finetune_chat(config, Run.create(tmp_path / "run", "chat", config, argv=[]))
    assert trained.extra["metrics"]["training_loss"] < 4.5  # log(320) is 5.8
    before = load_checkpoint(foundation).transformer.state_dict()
    for name, value in trained.transformer.state_dict().items():
        if value.ndim == 2:
            found = quantize_int4_symmetric(value.numpy()).dequantize()
            torch.testing.assert_close(torch.from_numpy(found), value, rtol=1e-6, atol=1e-8)
            assert not torch.equal(before[name], value), name


def test_a_stopped_run_on_the_grid_ends_where_an_unbroken_one_ends(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    data = _dialogues(write_rows)
    whole = _config(foundation, data, 5, grid=GRID)
    run = Run.create(tmp_path / "whole", "chat", whole, argv=[])
    expected = finetune_chat(whole, run).transformer.state_dict()
    stopped = _config(foundation, data, 5, grid=GRID, loop={"stop_after": 1e-9})
    found = in_pieces(stopped, tmp_path / "cut")
    for name, value in expected.items():
        assert torch.equal(found.transformer.state_dict()[name], value), name


def test_weights_on_the_grid_are_trained_on_from_where_they_lie(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    data = _dialogues(write_rows)
    config = _config(foundation, data, 2, grid=GRID)
    run = Run.create(tmp_path / "first", "chat", config, argv=[])
    before = finetune_chat(config, run).decoder
    assert lies_on(before, plainly_rounded(before))
    assert not lies_on(load_checkpoint(foundation).decoder, plainly_rounded(before))
    config = _config(run.checkpoint, data, 1, grid=GRID, freeze_embedding=True)
    still = OptimizerConfig(learning_rate=1e-9, weight_decay=0.0)
    config = replace(config, loop=replace(config.loop, optimizer=still))
    after = finetune_chat(config, Run.create(tmp_path / "second", "chat", config, argv=[]))
    for name, value in before.state_dict().items():
        torch.testing.assert_close(
            after.transformer.state_dict()[name], value, atol=1e-6, rtol=1e-4
        )


@pytest.mark.parametrize("precision", ["float32", "bfloat16-products"])
def test_a_frozen_embedding_stays_and_the_rest_learns(
    foundation: Path, write_rows: Write, tmp_path: Path, precision: Precision
) -> None:
    before = torch.get_float32_matmul_precision()
    config = _config(
        foundation, _dialogues(write_rows), 30, freeze_embedding=True, precision=precision
    )
    trained = finetune_chat(config, Run.create(tmp_path / "run", "chat", config, argv=[]))
    state, old = trained.transformer.state_dict(), load_checkpoint(foundation).transformer
    assert torch.equal(state["embed_tokens.weight"], old.state_dict()["embed_tokens.weight"])
    name = "layers.0.mlp.up_proj.weight"
    assert not torch.equal(state[name], old.state_dict()[name])
    assert trained.extra["metrics"]["training_loss"] < 5.0  # log(320) is 5.8
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": GridConfig(bits=3)}, "grid.bits 3: 4, or 0 for none"),
        ({"grid": GRID, "lora": LoraConfig(rank=2)}, "whole matrices"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    foundation: Path, write_rows: Write, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = _config(foundation, _dialogues(write_rows), 1, **changes)
    with pytest.raises(ValueError, match=message):
        finetune_chat(config, Run.create(tmp_path / "run", "chat", config, argv=[]))


def test_a_model_of_incomplete_blocks_is_refused(
    tokenizer: Tokenizer, write_rows: Write, tmp_path: Path
) -> None:
    model = Transformer(shape(tokenizer.vocabulary_size), 128)  # 48 wide inside
    save_checkpoint(tmp_path / "other", Checkpoint("pretrained", model, tokenizer))
    config = _config(tmp_path / "other", _dialogues(write_rows), 1, grid=GRID)
    with pytest.raises(ValueError, match="48 inputs"):
        finetune_chat(config, Run.create(tmp_path / "run", "chat", config, argv=[]))


def test_the_first_loss_is_finite_at_any_scale() -> None:
    tiny = 1e-30 * _normal(4, BLOCK)
    assert math.isfinite(float(on_grid(tiny, best_scales(tiny)).sum()))
