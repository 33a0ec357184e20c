"""Optimizers: every parameter in one group, rates by role, equality with torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.tiny import tiny_transformer
from training.model import SequenceClassifier
from training.muon import Muon, has_bfloat16
from training.optimizer import OptimizerConfig, build_optimizers, role


@pytest.mark.parametrize("kind", ["adamw", "muon+adamw"])
def test_every_trainable_parameter_is_in_exactly_one_group(kind: Any) -> None:
    model = SequenceClassifier(tiny_transformer(), 2)
    model.transformer.norm.weight.requires_grad_(False)
    optimizers = build_optimizers(model, OptimizerConfig(kind=kind))
    grouped = [id(p) for p in optimizers.parameters()]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}


def test_roles_follow_name_and_shape() -> None:
    model = SequenceClassifier(tiny_transformer(qk_norm=True), 2)
    roles = {name: role(name, p) for name, p in model.named_parameters()}
    assert roles["transformer.embed_tokens.weight"] == "embedding"
    assert roles["transformer.layers.0.self_attn.q_proj.weight"] == "matrix"
    assert roles["transformer.layers.1.mlp.down_proj.weight"] == "matrix"
    assert roles["transformer.layers.0.self_attn.q_norm.weight"] == "gain"
    assert roles["score.weight"] == "head"
    assert roles["score.bias"] == "gain"


def test_muon_has_the_matrices_and_the_rates_of_each_role() -> None:
    config = OptimizerConfig(kind="muon+adamw", muon_learning_rate=0.5, gain_learning_rate=0.25)
    optimizers = build_optimizers(tiny_transformer(), config)
    muon = optimizers.optimizers[0]
    assert isinstance(muon, torch.optim.Muon)
    assert all(p.ndim == 2 for group in muon.param_groups for p in group["params"])
    optimizers.schedule(step=0, progress=0.25, multiplier=0.5)
    rates = {group["role"]: group["lr"] for group in optimizers.groups}
    assert rates["matrix"] == 0.25
    assert rates["gain"] == 0.125
    decay = {group["role"]: group["weight_decay"] for group in optimizers.groups}
    assert decay["matrix"] == pytest.approx(0.075)
    assert decay["gain"] == decay["embedding"] == 0.0
    assert muon.param_groups[0]["momentum"] == pytest.approx(0.85)
    optimizers.schedule(step=150, progress=0.5, multiplier=1.0)
    assert muon.param_groups[0]["momentum"] == pytest.approx(0.90)
    optimizers.schedule(step=900, progress=0.5, multiplier=1.0)
    assert muon.param_groups[0]["momentum"] == pytest.approx(0.95)


def test_a_step_equals_torchs_own_optimizers() -> None:
    ours, theirs = tiny_transformer(), tiny_transformer()
    optimizers = build_optimizers(
        ours,
        OptimizerConfig(kind="muon+adamw", clip=0.0, weight_decay=0.0, muon_precision="bfloat16"),
    )
    matrices = [p for n, p in theirs.named_parameters() if role(n, p) == "matrix"]
    others = [
        {"params": [theirs.embed_tokens.weight], "lr": 0.02},
        {"params": [p for p in theirs.parameters() if p.ndim == 1], "lr": 0.01},
    ]
    muon = torch.optim.Muon(matrices, lr=0.02, momentum=0.85, weight_decay=0.0)
    adamw = torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    ids = torch.arange(20).view(2, 10)
    for model in (ours, theirs):
        model(ids).square().mean().backward()
    optimizers.schedule(0, 0.0, 1.0)
    optimizers.clip()
    optimizers.step()
    muon.step()
    adamw.step()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert one.grad is None


def test_float32_muon_is_torchs_without_its_rounding() -> None:
    torch.manual_seed(1)
    for shape in ((24, 40), (40, 24)):
        weights = torch.randn(shape)
        gradients = [torch.randn(shape) for _ in range(4)]
        ends = {}
        for kind in ("ours", "torch", "slow"):
            parameter = torch.nn.Parameter(weights.clone())
            settings = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
            exact, average = weights.double(), torch.zeros(shape, dtype=torch.double)
            optimizer: torch.optim.Optimizer = torch.optim.Muon([parameter], **settings)
            if kind == "ours":
                optimizer = Muon([parameter], "float32", **settings)
            for gradient in gradients:
                if kind == "slow":
                    average = 0.9 * average + 0.1 * gradient.double()
                    update = orthogonal_by_svd(0.1 * gradient.double() + 0.9 * average)
                    scale = 0.02 * max(1.0, shape[0] / shape[1]) ** 0.5
                    exact = exact * (1 - 0.02 * 0.1) - scale * update
                else:
                    parameter.grad = gradient.clone()
                    optimizer.step()
            ends[kind] = exact.float() if kind == "slow" else parameter.detach()
        torch.testing.assert_close(ends["ours"], ends["slow"], rtol=0, atol=1e-5)
        torch.testing.assert_close(ends["ours"], ends["torch"], rtol=0, atol=2e-3)


def orthogonal_by_svd(matrix: torch.Tensor) -> torch.Tensor:
    """The iteration maps each singular value by itself: the same by a decomposition."""
    u, values, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u @ torch.diag(values) @ v


def test_muons_format_is_the_processors() -> None:
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    native = has_bfloat16(torch.device("cpu"))
    assert Muon([parameter]).float32 == (not native)
    assert Muon([parameter], "bfloat16").float32 is False
    assert has_bfloat16(torch.device("cuda"))


def test_the_gradient_is_clipped_to_the_norm() -> None:
    model = tiny_transformer()
    optimizers = build_optimizers(model, OptimizerConfig(clip=0.5))
    (model(torch.arange(8)[None]) * 100).square().mean().backward()
    before = optimizers.clip()
    assert before > 0.5
    norms = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    assert float(norms.norm()) == pytest.approx(0.5, rel=1e-4)


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="No parameter"):
        build_optimizers(tiny_transformer().requires_grad_(False), OptimizerConfig())
