"""Block-wise weight quantization in the layouts of onnxruntime's MatMulNBits.

Shapes: N rows (outputs), K columns (inputs), G = ceil(K / BLOCK) blocks a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from training.symmetric_grid import BLOCK, HIGHEST, LOWEST, grid_scales

Quantization = Literal["float32", "int8", "int4", "int4-symmetric"]
QUANTIZATIONS: tuple[Quantization, ...] = ("float32", "int8", "int4", "int4-symmetric")


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix in blocks of 32 columns: ``weight = scale * (code - zero) + offset``.

    Attributes:
        codes_NGb: uint8; 8 bit: [N, G, 32], 4 bit: [N, G, 16], low nibble first.
        scales_NG: float32.
        offsets_NG: float32 or None; what an exact affine grid needs beyond a fixed zero point.
        bits: 4 or 8; the zero point is 8 or 128.
    """

    codes_NGb: NDArray[np.uint8]
    scales_NG: NDArray[np.float32]
    offsets_NG: NDArray[np.float32] | None
    bits: int
    columns: int

    def dequantize(self) -> NDArray[np.float32]:
        """Return the [N, K] matrix the codes stand for."""
        codes = self.codes_NGb
        if self.bits == 4:
            codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:2], BLOCK)
        values = (codes.astype(np.float32) - 2 ** (self.bits - 1)) * self.scales_NG[..., None]
        if self.offsets_NG is not None:
            values += self.offsets_NG[..., None]
        return values.reshape(len(values), -1)[:, : self.columns]


def _blocks(weight_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = weight_NK.shape
    padding = -columns % BLOCK
    if padding:
        weight_NK = np.pad(weight_NK, ((0, 0), (0, padding)))
    return weight_NK.reshape(rows, -1, BLOCK)


def quantize_int8(weight_NK: NDArray[np.float32]) -> QuantizedMatrix:
    """Symmetric, round to nearest: scale = max |w| / 127 in each block."""
    blocks = _blocks(weight_NK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-10).astype(np.float32)
    codes = np.clip(np.rint(blocks / scales[..., None]), -127, 127) + 128
    return QuantizedMatrix(codes.astype(np.uint8), scales, None, 8, weight_NK.shape[1])


def quantize_int4(weight_NK: NDArray[np.float32]) -> QuantizedMatrix:
    """Affine, round to nearest between each block's minimum and maximum.

    The grid is llama.cpp's Q4_1: weights that were stored in Q4_1 come back exactly.
    """
    blocks = _blocks(weight_NK)
    low, high = blocks.min(axis=-1), blocks.max(axis=-1)
    scales = np.maximum((high - low) / 15, 1e-10).astype(np.float32)
    codes = np.clip(np.rint((blocks - low[..., None]) / scales[..., None]), 0, 15).astype(np.uint8)
    # MatMulNBits subtracts a zero point of 8; the offset puts the block's minimum back.
    offsets = (low + 8 * scales).astype(np.float32)
    return QuantizedMatrix(pack_nibbles(codes), scales, offsets, 4, weight_NK.shape[1])


def quantize_int4_symmetric(weight_NK: NDArray[np.float32]) -> QuantizedMatrix:
    """Zero point 8; each block takes the scale of the least squared error among a few.

    The candidates put the largest value, whatever its sign, on code -8 or near it. Weights that
    lie on such a grid already, as ``training.finetuning.grid`` trains them, come back exactly
    (but for float32's last digit).
    """
    padded = torch.from_numpy(np.array(_blocks(weight_NK).reshape(len(weight_NK), -1)))
    scales = grid_scales(padded).numpy()
    codes = np.clip(np.rint(_blocks(weight_NK) / scales[..., None]), LOWEST, HIGHEST)
    packed = pack_nibbles((codes - LOWEST).astype(np.uint8))
    return QuantizedMatrix(packed, scales, None, 4, weight_NK.shape[1])


def pack_nibbles(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack values below 16 along the last axis, two a byte, the first in the low half."""
    return (values[..., 0::2] | (values[..., 1::2] << 4)).astype(np.uint8)
