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

from training.exporting.adapters import ADAPTER_FILE, Adapter
from training.exporting.quantization import BLOCK, QuantizedMatrix

CONTRIB = "com.microsoft"
Dimension = int | str
# Big tensors live outside the graph file; every file stays below what public hosts accept.
MAXIMUM_FILE_BYTES = 90 * 1024 * 1024
INLINE_BYTES = 4096
ALIGNMENT = 4096  # page size: lets onnxruntime map a tensor straight from the file


class Graph:
    """Collects nodes, weights, inputs and outputs, then writes the model.

    Args:
        flat: whether linear layers get activations [tokens, K] instead of [..., K]. Then the
            affine correction is added by the operator that computes it.
        unpack: whether 8-bit matrices become float32 once, when the graph is loaded: reads
            hundreds of tokens faster (``benchmarks.spam.bundles``), single ones more slowly.
    """

    def __init__(self, name: str, flat: bool = False, unpack: bool = False) -> None:
        self.name, self.flat, self.unpack = name, flat, unpack
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
        adapters: Sequence[Adapter] = (),
    ) -> str:
        """Multiply by the transpose of ``matrix`` [N, K]: x [..., K] to [..., N].

        Args:
            adapters: low-rank terms added to ``matrix``, which must be affine: they ride on its
                correction and cost no operator.
        """
        if not isinstance(matrix, QuantizedMatrix):
            assert not adapters
            return self.node("MatMul", [x, self.weight(f"{name}.weight", matrix.T)])
        if self.unpack and matrix.offsets_NG is None and matrix.bits == 8:
            assert not adapters
            return self.node("MatMul", [x, self._unpacked(name, matrix)])
        product = self.quantized_product(x, name, matrix)
        if matrix.offsets_NG is None:
            assert not adapters
            return product
        # x @ (offset of each block).T = (sum of x over each block) @ offsets.T
        offsets = self.weight(f"{name}.offsets", matrix.offsets_NG.T)
        indicator = self._block_indicator(matrix)
        if adapters:
            down, up = self._widened(name, indicator, offsets, adapters, len(matrix.codes_NGb))
            sums = self.node("MatMul", [x, down])
        else:
            sums, up = self._block_sums(x, indicator), offsets
        if self.flat:
            return self.node("Gemm", [sums, up, product])
        return self.node("Add", [product, self.node("MatMul", [sums, up])])

    def _widened(
        self, name: str, indicator: str, offsets: str, adapters: Sequence[Adapter], outputs: int
    ) -> tuple[str, str]:
        """Join adapters to the correction: [indicator | downs] and [offsets / ups].

        onnxruntime folds these nodes of constants into two matrices when it loads the graph.
        """
        columns = np.concatenate([adapter.down_RK.T for adapter in adapters], axis=1)
        down = self.weight(f"{name}.adapter.down", columns.astype(np.float16), adapter=True)
        rows = [offsets]
        for index, adapter in enumerate(adapters):
            values = adapter.up_NR.T.astype(np.float16)
            stored = self.weight(f"{name}.adapter.up.{index}", values, adapter=True)
            up = self.node("Cast", [stored], to=TensorProto.FLOAT)
            first, size = adapter.first_output, len(adapter.up_NR)
            if size < outputs:  # zeros for the outputs of the matrices stacked with this one
                sides = np.array([0, first, 0, outputs - first - size], np.int64)
                up = self.node("Pad", [up, self.weight(f"{name}.adapter.pads.{index}", sides)])
            rows.append(up)
        wide = self.node("Cast", [down], to=TensorProto.FLOAT)
        return (
            self.node("Concat", [indicator, wide], axis=1),
            self.node("Concat", rows, axis=0),
        )

    def quantized_product(self, x: str, name: str, matrix: QuantizedMatrix) -> str:
        """Add the MatMulNBits node alone."""
        return self.node(
            "MatMulNBits",
            [
                x,
                self.weight(f"{name}.codes", matrix.codes_NGb),
                self.weight(f"{name}.scales", matrix.scales_NG),
            ],
            contrib=True,
            K=matrix.columns,
            N=len(matrix.codes_NGb),
            bits=matrix.bits,
            block_size=BLOCK,
            accuracy_level=4,  # activations in int8: the fast kernels
        )

    def _unpacked(self, name: str, matrix: QuantizedMatrix) -> str:
        """Return the float32 matrix [K, N], which onnxruntime computes when it loads the graph."""
        rows = matrix.codes_NGb.reshape(len(matrix.codes_NGb), -1)[:, : matrix.columns]
        codes = self.weight(f"{name}.codes", (rows ^ 128).view(np.int8).T)  # zero point 0
        scales = self.weight(f"{name}.scales", matrix.scales_NG.T)
        return self.node("DequantizeLinear", [codes, scales], axis=0, block_size=BLOCK)

    def _block_indicator(self, matrix: QuantizedMatrix) -> str:
        """Return the 0/1 matrix [K, G] that sums x over each block."""
        indicator = np.zeros((matrix.columns, matrix.scales_NG.shape[1]), np.float32)
        indicator[np.arange(matrix.columns), np.arange(matrix.columns) // BLOCK] = 1
        return self.weight(f"block_indicator.{matrix.columns}", indicator)

    def _block_sums(self, x: str, indicator: str) -> str:
        """Sum x over each block, once per x."""
        name = f"{x}.block_sums"
        if not any(name in node.output for node in self.nodes):
            self.node("MatMul", [x, indicator], [name])
        return name

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
        tensors: list[onnx.TensorProto] = []
        for name, values in self.weights.items():
            if values.nbytes < INLINE_BYTES:
                tensors.append(onnx.numpy_helper.from_array(values, name))
            else:
                files = adapters if name in self._adapter_weights else base
                tensors.append(files.add(name, values))
        base.close()
        adapters.close()
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, tensors)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="frontdesk"
        )
        path.write_bytes(model.SerializeToString())
        return base.paths + adapters.paths


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
