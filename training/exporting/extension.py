"""Adapters and exact offsets as a few more columns of a 4-bit matrix.

The published weights are ``scale * (code - zero) + offset`` with a real offset for each block of
32 columns, but ``MatMulNBits`` knows integer zero points only. What is left after rounding those,
and a fine-tuned model's low-rank adapters, are both products with few inputs: sums of x over
blocks, and ``A x``. So these inputs are computed first, by one small 8-bit product, and put
before x; the offsets left and the adapters' other side become 4-bit columns before the base's:

    y = [weights | base] [inputs x | x]

The base's codes and scales are untouched, and so are its files. At a width of 576 there are 18
blocks; the inputs come in blocks of 32 as well, so two of them hold 46 of the adapters' rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.exporting.adapters import Adapter
from training.exporting.quantization import QuantizedMatrix, quantize_int4_symmetric, quantize_int8
from training.symmetric_grid import BLOCK

# Share of the mean activation added to all of them, so that calibration on little text holds.
DAMPING = 0.01
# Offsets take part twice, the second time with what rounding them to 4 bits left: 8 bits in all.
OFFSET_ROUNDS = 2


@dataclass(frozen=True)
class Extension:
    """More columns for an affine 4-bit matrix [N, K] of G blocks.

    Attributes:
        inputs: 8 bit, [X, K]; X is a multiple of the block.
        weights: 4 bit, [N, X].
        lost: share of the adapters' output that truncation loses, as squares: 0 to 1.
    """

    inputs: QuantizedMatrix
    weights: QuantizedMatrix
    lost: float


def block_sums(columns: int) -> NDArray[np.float32]:
    """Return the 0/1 matrix [G, K] that sums over each block."""
    sums = np.zeros((-(-columns // BLOCK), columns), np.float32)
    sums[np.arange(columns) // BLOCK, np.arange(columns)] = 1
    return sums


def extension(
    matrix: QuantizedMatrix,
    adapters: Sequence[Adapter] = (),
    rank: int | None = None,
    moment_KK: NDArray[np.float32] | None = None,
) -> Extension:
    """Return what an affine 4-bit matrix needs beside its codes and scales.

    Args:
        rank: of the adapters together, at most; None fills the blocks that are needed for the
            largest of them anyway.
        moment_KK: mean of x x^T over inputs the matrix will meet: what truncation should keep.
    """
    assert matrix.offsets_NG is not None
    offsets_NG = matrix.offsets_NG
    sums_GK = block_sums(matrix.columns)
    room = -len(sums_GK) % BLOCK
    down_RK, up_NR, lost = sums_GK[:0], offsets_NG[:, :0], 0.0
    if adapters:
        single = max(len(adapter.down_RK) for adapter in adapters)
        most = 2 * room + -(-max(0, single - 2 * room) // BLOCK) * BLOCK if rank is None else rank
        down_RK, up_NR, lost = _joined(adapters, len(offsets_NG), most, moment_KK)
        up_size = max(_size(up_NR), 1e-12)
        down_RK, up_NR = down_RK * up_size, up_NR / up_size
    # Blocks share a scale, so what shares a block is made about equally large; the weakest
    # adapters go with the offsets, whose own rounding is what the second round takes up.
    used = 0
    inputs, weights = [], []
    left_NG = offsets_NG
    for _ in range(OFFSET_ROUNDS):
        size = max(_size(left_NG), 1e-9)
        fill = slice(max(0, len(down_RK) - used - room), len(down_RK) - used)
        used += fill.stop - fill.start
        inputs.append(_padded(np.concatenate([sums_GK, down_RK[fill] / size]), 0))
        weights.append(_padded(np.concatenate([left_NG, up_NR[:, fill] * size], axis=1), 1))
        rounded = quantize_int4_symmetric(weights[-1]).dequantize()
        left_NG = left_NG - rounded[:, : len(sums_GK)]
    if used < len(down_RK):
        inputs.append(_padded(down_RK[: len(down_RK) - used], 0))
        weights.append(_padded(up_NR[:, : len(down_RK) - used], 1))
    return Extension(
        quantize_int8(np.concatenate(inputs)),
        quantize_int4_symmetric(np.concatenate(weights, axis=1)),
        lost,
    )


def _size(values: NDArray[np.float32]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


def _padded(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Fill up the last block along an axis with zeros."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, -values.shape[axis] % BLOCK)
    return np.pad(values, widths)


def _joined(
    adapters: Sequence[Adapter], outputs: int, rank: int, moment_KK: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return the stacked adapters as one of ``rank`` at most, strongest first, and the loss.

    The best in the mean square of the outputs: with ``moment = L L^T``, project on the leading
    left singular vectors of ``delta L`` (SVD-LLM, https://arxiv.org/abs/2403.07378).
    """
    ups_NR = np.zeros((outputs, sum(len(adapter.down_RK) for adapter in adapters)))
    first = 0
    for adapter in adapters:
        size, width = adapter.up_NR.shape
        rows = slice(adapter.first_output, adapter.first_output + size)
        ups_NR[rows, first : first + width] = adapter.up_NR
        first += width
    downs_RK = np.concatenate([adapter.down_RK for adapter in adapters]).astype(np.float64)
    weighted_RK = downs_RK
    if moment_KK is not None:
        damping = DAMPING * float(np.diagonal(moment_KK).mean()) + 1e-12
        moment = moment_KK.astype(np.float64) + damping * np.eye(len(moment_KK))
        weighted_RK = downs_RK @ np.linalg.cholesky(moment)
    # all in the small space that the adapters span
    basis_NR, triangle_RR = np.linalg.qr(ups_NR)
    left_RR, values, _ = np.linalg.svd(triangle_RR @ weighted_RK, full_matrices=False)
    count = min(rank, len(values))
    energy = values**2
    lost = float(energy[count:].sum() / max(energy.sum(), 1e-300))
    up_NR = basis_NR @ left_RR[:, :count]
    down_RK = left_RR[:, :count].T @ (triangle_RR @ downs_RK)
    return down_RK.astype(np.float32), up_NR.astype(np.float32), lost
