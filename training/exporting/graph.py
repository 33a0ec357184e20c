"""A small builder for ONNX graphs with onnxruntime's contrib operators.

Operators: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from training.exporting.quantization import BLOCK, QuantizedMatrix

CONTRIB = "com.microsoft"
Dimension = int | str
# Big tensors live outside the graph file; every file stays below what public hosts accept.
MAXIMUM_FILE_BYTES = 90 * 1024 * 1024
INLINE_BYTES = 4096
ALIGNMENT = 4096  # page size: lets onnxruntime map a tensor straight from the file


class Graph:
    """Collects nodes, weights, inputs and outputs, then writes the model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
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

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant; the same name again is the same constant."""
        self.weights.setdefault(name, np.asarray(values, order="C"))
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

    def linear(self, x: str, name: str, matrix: NDArray[Any] | QuantizedMatrix) -> str:
        """Multiply by the transpose of ``matrix`` [N, K]: x [..., K] to [..., N]."""
        if not isinstance(matrix, QuantizedMatrix):
            return self.node("MatMul", [x, self.weight(f"{name}.weight", matrix.T)])
        product = self.quantized_product(x, name, matrix)
        if matrix.offsets_NG is None:
            return product
        # x @ (offset of each block).T = (sum of x over each block) @ offsets.T
        correction = self.weight(f"{name}.offsets", matrix.offsets_NG.T)
        return self.node(
            "Add", [product, self.node("MatMul", [self._block_sums(x, matrix), correction])]
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

    def _block_sums(self, x: str, matrix: QuantizedMatrix) -> str:
        """Sum x over each block, once per x."""
        name = f"{x}.block_sums"
        if not any(name in node.output for node in self.nodes):
            indicator = np.zeros((matrix.columns, matrix.scales_NG.shape[1]), np.float32)
            indicator[np.arange(matrix.columns), np.arange(matrix.columns) // BLOCK] = 1
            ones = self.weight(f"block_indicator.{matrix.columns}", indicator)
            self.node("MatMul", [x, ones], [name])
        return name

    def save(self, path: Path) -> list[Path]:
        """Write ``path`` and its external data files; returns the latter."""
        tensors: list[onnx.TensorProto] = []
        files: list[Path] = []
        offset = MAXIMUM_FILE_BYTES  # forces the first file
        stream = None
        for name, values in self.weights.items():
            if values.nbytes < INLINE_BYTES:
                tensors.append(onnx.numpy_helper.from_array(values, name))
                continue
            offset += -offset % ALIGNMENT
            if offset + values.nbytes > MAXIMUM_FILE_BYTES or stream is None:
                if stream is not None:
                    stream.close()
                files.append(path.with_name(f"{path.name}.{len(files)}.data"))
                stream, offset = files[-1].open("wb"), 0
            stream.seek(offset)
            stream.write(values.tobytes())
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            # raw_data must be present while set_external_data runs; it is dropped right after.
            tensor = TensorProto(name=name, data_type=kind, dims=values.shape, raw_data=b"")
            set_external_data(tensor, files[-1].name, offset, values.nbytes)
            tensor.ClearField("raw_data")
            tensors.append(tensor)
            offset += values.nbytes
        if stream is not None:
            stream.close()
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, tensors)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="frontdesk"
        )
        path.write_bytes(model.SerializeToString())
        return files
