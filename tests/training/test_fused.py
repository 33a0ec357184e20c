"""Operations with written-out gradients: the numbers are those of the plain formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training import fused
from training.fused import causal_attention, rms_norm, rotated, summed_cross_entropy


def same(one: Callable[..., Tensor], other: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Compare values and gradients of two functions."""
    found = []
    for function in (one, other):
        copies = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
        result = function(*copies)
        weights = torch.linspace(0.5, 2.0, result.numel(), dtype=result.dtype)
        (result.flatten() * weights).sum().backward()
        found.append([result.detach(), *(x.grad for x in copies if x.grad is not None)])
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rows", [(5,), (3, 1, 5)], ids=["shared", "each its own positions"])
def test_rotation_is_that_of_pairs_of_coordinates(rows: tuple[int, ...]) -> None:
    angle = drawn(*rows, 4)

    def plain(x: Tensor) -> Tensor:
        number = torch.complex(*x.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([number.real, number.imag], dim=-1)

    x = drawn(3, 5, 2, 8).transpose(1, 2)  # as attention has it: strided
    same(lambda x: rotated(x, angle.cos(), angle.sin()), plain, x)


@pytest.mark.parametrize("together", [2, 3, 64])
def test_attention_in_pieces_equals_torchs(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "QUERIES", together)
    q, k, v = drawn(2, 7, 4, 6), 2 * drawn(2, 7, 2, 6), drawn(2, 7, 2, 6) + 1

    def torchs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    same(causal_attention, torchs, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))


def test_rms_norm_equals_torchs() -> None:
    x, gain = 3 * drawn(2, 4, 6), drawn(6)
    same(lambda x, w: rms_norm(x, w, 1e-5), lambda x, w: F.rms_norm(x, (6,), w, 1e-5), x, gain)


@pytest.mark.parametrize("chunk", [3, 100])
def test_cross_entropy_in_chunks_equals_the_whole(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "CHUNK", chunk)
    hidden, weight = drawn(10, 4), 2 * drawn(7, 4)
    targets = torch.arange(10) % 7

    def plain(hidden: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy(hidden @ weight.T, targets, reduction="sum")

    same(lambda h, w: summed_cross_entropy(h, w, targets), plain, hidden, weight)
    with torch.no_grad():
        loss = summed_cross_entropy(hidden, weight, targets)
    torch.testing.assert_close(loss, plain(hidden, weight))


def test_what_is_frozen_gets_no_gradient() -> None:
    hidden, weight = drawn(4, 3).requires_grad_(), drawn(5, 3)
    summed_cross_entropy(hidden, weight, torch.tensor([0, 1, 2, 3])).backward()
    assert hidden.grad is not None
    assert weight.grad is None
