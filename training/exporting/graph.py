"""A small builder for ONNX graphs with onnxruntime's contrib operators.

Operators: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data
from torch import Tensor

from training.exporting.extension import Extension, block_sums
from training.exporting.quantization import QuantizedMatrix
from training.symmetric_grid import BLOCK

CONTRIB = "com.microsoft"
# model.onnx.adapter.0.data
ADAPTER_FILE = "adapter."
Dimension = int | str
# Big tensors live outside the graph file; every file stays below what public hosts accept.
MAXIMUM_FILE_BYTES = 90 * 1024 * 1024
INLINE_BYTES = 4096
ALIGNMENT = 4096  # page size: lets onnxruntime map a tensor straight from the file


class Graph:
    """Collects nodes, weights, inputs and outputs, then writes the model.

    Args:
        unpack: whether 8-bit matrices become float32 once, when the graph is loaded: reads
            hundreds of tokens faster (``benchmarks.spam.bundles``), single ones more slowly.
    """

    def __init__(self, name: str, unpack: bool = False) -> None:
        self.name, self.unpack = name, unpack
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self._adapter_weights: set[str] = set()
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: int, shape: Sequence[Dimension]) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: Sequence[Dimension]) -> str:
        """Declare an output; some node must write ``name``."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def weight(self, name: str, values: NDArray[Any], adapter: bool = False) -> str:
        """Add a constant; the same name again is the same constant.

        Args:
            adapter: store it apart, so that the base model's files stay as they are.
        """
        self.weights.setdefault(name, np.asarray(values, order="C"))
        if adapter:
            self._adapter_weights.add(name)
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str] | None = None,
        contrib: bool = False,
        **attributes: Any,
    ) -> str:
        """Add a node and return its first output."""
        outputs = list(outputs) if outputs else [f"{operator}.{len(self.nodes)}"]
        domain = CONTRIB if contrib else ""
        label = f"{operator}.{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, outputs, name=label, domain=domain, **attributes)
        )
        return outputs[0]

    def linear(
        self,
        x: str,
        name: str,
        matrix: NDArray[Any] | QuantizedMatrix,
        extension: Extension | None = None,
    ) -> str:
        """Multiply by the transpose of ``matrix`` [N, K]: x [..., K] to [..., N].

        Args:
            extension: what an affine ``matrix`` needs, with its adapters.
        """
        if not isinstance(matrix, QuantizedMatrix):
            return self.node("MatMul", [x, self.weight(f"{name}.weight", matrix.T)])
        if extension is not None:
            return self._extended_product(x, name, matrix, extension)
        assert matrix.offsets_NG is None
        if self.unpack and matrix.bits == 8:
            return self.node("MatMul", [x, self._unpacked(name, matrix)])
        return self.quantized_product(x, name, matrix)

    def _extended_product(
        self, x: str, name: str, matrix: QuantizedMatrix, extension: Extension
    ) -> str:
        """Multiply [inputs @ x, x] by [weights, matrix]: see ``Extension``.

        onnxruntime joins the constants when it loads the graph, so that the base's lie in their
        files as they always did.
        """
        assert matrix.offsets_NG is not None
        codes = self.weight(f"{name}.codes", matrix.codes_NGb)
        scales = self.weight(f"{name}.scales", matrix.scales_NG)
        # Read by no operator, but part of the base's files, which models of all ages share.
        self.weight(f"{name}.offsets", matrix.offsets_NG.T)
        self.weight(f"block_indicator.{matrix.columns}", block_sums(matrix.columns).T)
        label, weights = f"{name}.extension", extension.weights
        extra = self.quantized_product(x, f"{label}.inputs", extension.inputs, adapter=True)
        wide = self.node("Concat", [extra, x], axis=-1)
        own_codes = self.weight(f"{label}.codes", weights.codes_NGb, adapter=True)
        own_scales = self.weight(f"{label}.scales", weights.scales_NG, adapter=True)
        joined = [
            self.node("Concat", [own, base], axis=1)
            for own, base in ((own_codes, codes), (own_scales, scales))
        ]
        columns = weights.columns + matrix.columns
        return self._matmul_nbits([wide, *joined], columns, len(matrix.codes_NGb), 4)

    def quantized_product(
        self, x: str, name: str, matrix: QuantizedMatrix, adapter: bool = False
    ) -> str:
        """Multiply by the transpose of a quantized matrix without offsets or zero points."""
        codes = self.weight(f"{name}.codes", matrix.codes_NGb, adapter)
        scales = self.weight(f"{name}.scales", matrix.scales_NG, adapter)
        return self._matmul_nbits(
            [x, codes, scales], matrix.columns, len(matrix.codes_NGb), matrix.bits
        )

    def _matmul_nbits(self, inputs: Sequence[str], columns: int, rows: int, bits: int) -> str:
        return self.node(
            "MatMulNBits",
            inputs,
            contrib=True,
            K=columns,
            N=rows,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=4,  # activations in int8: the fast kernels
        )

    def _unpacked(self, name: str, matrix: QuantizedMatrix) -> str:
        """Return the float32 matrix [K, N], which onnxruntime computes when it loads the graph."""
        rows = matrix.codes_NGb.reshape(len(matrix.codes_NGb), -1)[:, : matrix.columns]
        codes = self.weight(f"{name}.codes", (rows ^ 128).view(np.int8).T)  # zero point 0
        scales = self.weight(f"{name}.scales", matrix.scales_NG.T)
        return self.node("DequantizeLinear", [codes, scales], axis=0, block_size=BLOCK)

    def real_tokens(self, ids: str, lengths: str) -> tuple[str, str]:
        """Return which of ``ids`` [B, S] are no padding, bool [B, S], and lengths [B, 1]."""
        axis = self.weight("axis.1", np.array([1], np.int64))
        size = self.node("Squeeze", [self.node("Shape", [ids], start=1)])
        bounds = [self.weight(f"number.{value}", np.array(value, np.int64)) for value in (0, 1)]
        places = self.node("Range", [bounds[0], size, bounds[1]])
        column = self.node("Unsqueeze", [lengths, axis])
        return self.node("Less", [places, column]), column

    def mean_of_real(self, states: str, real: str, lengths: str, output: str) -> str:
        """Average ``states`` [B, S, D] over the real tokens: [B, D]; see ``real_tokens``."""
        axis = self.weight("axis.1", np.array([1], np.int64))
        weights = self.node("Unsqueeze", [self.node("Cast", [real], to=TensorProto.FLOAT), axis])
        total = self.node("Squeeze", [self.node("MatMul", [weights, states]), axis])
        count = self.node("Cast", [lengths], to=TensorProto.FLOAT)
        return self.node("Div", [total, count], [output])

    def save(self, path: Path) -> list[Path]:
        """Write ``path`` and its external data files; returns the latter."""
        base = _ExternalFiles(path, "")
        adapters = _ExternalFiles(path, ADAPTER_FILE)
        read = {name for node in self.nodes for name in node.input}
        tensors: list[onnx.TensorProto] = []
        for name, values in self.weights.items():
            if values.nbytes < INLINE_BYTES:
                tensor = onnx.numpy_helper.from_array(values, name)
            else:
                files = adapters if name in self._adapter_weights else base
                tensor = files.add(name, values)
            if name in read:
                tensors.append(tensor)
        base.close()
        adapters.close()
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, tensors)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="frontdesk"
        )
        path.write_bytes(model.SerializeToString())
        return base.paths + adapters.paths


def as_array(tensor: Tensor) -> NDArray[np.float32]:
    """Return a tensor's values, float32, for a graph's constants."""
    found: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return found


class _ExternalFiles:
    """Data files beside the graph, ``model.onnx.0.data`` and so on, each below the limit."""

    def __init__(self, graph: Path, prefix: str) -> None:
        self._graph, self._prefix = graph, prefix
        self.paths: list[Path] = []
        self._stream: BinaryIO | None = None
        self._offset = 0

    def add(self, name: str, values: NDArray[Any]) -> onnx.TensorProto:
        """Write a tensor's values; returns the tensor that points to them."""
        self._offset += -self._offset % ALIGNMENT
        if self._stream is None or self._offset + values.nbytes > MAXIMUM_FILE_BYTES:
            self.close()
            file = f"{self._graph.name}.{self._prefix}{len(self.paths)}.data"
            self.paths.append(self._graph.with_name(file))
            self._stream, self._offset = self.paths[-1].open("wb"), 0
        self._stream.seek(self._offset)
        self._stream.write(values.tobytes())
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        # raw_data must be present while set_external_data runs; it is dropped right after.
        tensor = TensorProto(name=name, data_type=kind, dims=values.shape, raw_data=b"")
        set_external_data(tensor, self.paths[-1].name, self._offset, values.nbytes)
        tensor.ClearField("raw_data")
        self._offset += values.nbytes
        return tensor

    def close(self) -> None:
        """Close the file being written."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
