"""What stands beside a 4-bit matrix: offsets and adapters as more columns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_chat
from training.exporting.adapters import Adapter
from training.exporting.calibration import calibration_texts, input_moments
from training.exporting.extension import Extension, extension
from training.exporting.quantization import QuantizedMatrix, quantize_int4, quantize_int4_symmetric
from training.symmetric_grid import BLOCK

RANDOM = np.random.default_rng(5)


def _normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def _whole(matrix: QuantizedMatrix, more: Extension) -> np.ndarray:
    """The [N, K] matrix that the extended product computes with."""
    assert matrix.offsets_NG is not None
    codes = QuantizedMatrix(matrix.codes_NGb, matrix.scales_NG, None, 4, matrix.columns)
    return codes.dequantize() + more.weights.dequantize() @ more.inputs.dequantize()


def _adapters(outputs: list[int], columns: int, rank: int) -> list[Adapter]:
    first = np.cumsum([0, *outputs])
    return [
        Adapter(_normal(rank, columns), 0.03 * _normal(size, rank), int(start))
        for size, start in zip(outputs, first, strict=False)
    ]


def _dense(adapters: list[Adapter], outputs: int) -> np.ndarray:
    delta = np.zeros((outputs, adapters[0].down_RK.shape[1]))
    for adapter in adapters:
        rows = slice(adapter.first_output, adapter.first_output + len(adapter.up_NR))
        delta[rows] += adapter.up_NR @ adapter.down_RK
    return delta


@pytest.mark.parametrize("columns", [64, 80, 576])
def test_offsets_come_back_to_eight_bits(columns):
    matrix = quantize_int4(_normal(48, columns) + 0.5)
    exact, found = matrix.dequantize(), _whole(matrix, extension(matrix))
    assert matrix.offsets_NG is not None
    # 4 bits, and 4 bits of what they left
    largest = np.abs(matrix.offsets_NG).max()
    assert np.abs(found - exact).max() < largest / 100
    assert np.abs(found - exact).max() > 0


@pytest.mark.parametrize("rank", [3, 20, 40])
def test_stacked_adapters_add_their_product(rank):
    outputs = [40, 24]
    matrix = quantize_int4(_normal(64, 96))
    adapters = _adapters(outputs, 96, rank)
    delta = _dense(adapters, 64)
    more = extension(matrix, adapters, rank=2 * rank)
    found = _whole(matrix, more) - _whole(matrix, extension(matrix))
    assert np.linalg.norm(found - delta) < 0.12 * np.linalg.norm(delta)  # 4 bits
    assert more.lost == pytest.approx(0, abs=1e-9)
    assert more.weights.columns % BLOCK == 0
    assert len(more.inputs.codes_NGb) == more.weights.columns


def test_without_a_rank_blocks_are_filled_that_a_single_adapter_needs():
    # 576 columns: 18 blocks, twice, leave 28 columns; rank 32 needs a third block: 60
    matrix = quantize_int4(_normal(64, 576))
    adapters = _adapters([32, 32], 576, 32)
    more = extension(matrix, adapters)
    assert more.weights.columns == 3 * BLOCK
    used = np.abs(more.inputs.dequantize()).max(axis=1) > 0
    assert used.sum() == 2 * 18 + 60
    assert extension(matrix).weights.columns == 2 * BLOCK


def test_truncation_is_the_best_there_is_for_what_the_layer_reads():
    x = _normal(4000, 96) * np.logspace(-1.5, 0.5, 96, dtype=np.float32)
    adapters = _adapters([64], 96, 24)
    delta = _dense(adapters, 64)
    moment = (x.T @ x / len(x)).astype(np.float32)
    matrix = quantize_int4(_normal(64, 96))
    kept = {}
    for name, known in (("aware", moment), ("blind", None)):
        more = extension(matrix, adapters, rank=6, moment_KK=known)
        left = delta - (_whole(matrix, more) - _whole(matrix, extension(matrix)))
        kept[name] = np.linalg.norm(x @ left.T) ** 2 / np.linalg.norm(x @ delta.T) ** 2
        if name == "aware":
            values = np.linalg.svd(x @ delta.T, compute_uv=False) ** 2
            best = values[6:].sum() / values.sum()
            assert more.lost == pytest.approx(best, rel=0.1)
            # what 4 bits add is small against what truncation loses
            assert kept[name] == pytest.approx(best, rel=0.2)
    assert kept["aware"] < 0.8 * kept["blind"]


def test_the_scale_of_a_symmetric_block_beats_the_largest_value_on_the_last_code():
    values = _normal(200, BLOCK)
    found = quantize_int4_symmetric(values).dequantize()
    largest = np.take_along_axis(values, np.abs(values).argmax(1)[:, None], 1)
    plain = np.clip(np.rint(values / (largest / -8)), -8, 7) * (largest / -8)
    errors = np.square(found - values).sum(1), np.square(plain - values).sum(1)
    assert (errors[0] <= errors[1] * (1 + 1e-5)).all()
    assert errors[0].sum() < 0.98 * errors[1].sum()
    assert np.isfinite(quantize_int4_symmetric(0 * values).dequantize()).all()


@pytest.mark.parametrize("qk_norm", [False, True])
def test_moments_are_of_what_each_product_reads(qk_norm):
    checkpoint = tiny_chat(qk_norm=qk_norm)
    texts = calibration_texts(checkpoint, 200)
    assert sum(map(len, texts)) >= 200
    assert max(map(len, texts)) <= 64
    moments = input_moments(checkpoint, texts)
    block = checkpoint.decoder.layers[0]
    assert len(moments) == 2 * (6 if qk_norm else 4)
    with torch.no_grad():
        read = [
            block.input_layernorm(checkpoint.decoder.embed_tokens(torch.tensor(text)))
            for text in texts
        ]
    x = torch.cat(read)
    np.testing.assert_allclose(
        moments[block.self_attn.q_proj], (x.T @ x / len(x)).numpy(), atol=1e-4
    )
