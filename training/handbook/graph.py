"""The ONNX graph of the handbook's encoder: ids to one vector of length one, and to states.

The vector is the mean of the last layer's states (https://arxiv.org/abs/1908.10084). One text at
a time, so nothing is padded and nothing needs a mask.

Shapes: S tokens, D width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from training.encoder import Encoder
from training.exporting.encoder import EncoderGraph
from training.exporting.quantization import Quantization


def build_text_encoder_graph(
    encoder: Encoder, quantization: Quantization, path: Path, max_tokens: int
) -> list[Path]:
    """Write the graph; returns its data files.

    Input: ``input_ids`` int64 [1, S], S at most ``max_tokens``. Outputs: ``vector`` float [1, D];
    ``states`` float [1, S, D], the last layer's, of which the vector is the mean.
    """
    b = EncoderGraph(encoder, quantization, "handbook")
    positions = "embeddings.position_embeddings.weight"
    b.weights[positions] = b.weights[positions][:max_tokens]
    g = b.graph
    ids = g.input("input_ids", TensorProto.INT64, [1, "S"])
    g.output("vector", TensorProto.FLOAT, [1, encoder.architecture.width])
    tokens = g.weight("axis.tokens", np.array([1], np.int64))
    g.output("states", TensorProto.FLOAT, [1, "S", encoder.architecture.width])
    states = g.node("Identity", [b.states(ids)], ["states"])
    mean = g.node("ReduceMean", [states, tokens], keepdims=0)
    g.node("LpNormalization", [mean], ["vector"], axis=1, p=2)
    return g.save(path)


def tell_states(path: Path) -> None:
    """Let a graph that was written without the output ``states`` have it; weights stay as they are.

    Raises:
        ValueError: it is none of ``build_text_encoder_graph``.
    """
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    outputs = {output.name: output for output in graph.output}
    if "states" in outputs:
        return
    made_by = {name: node for node in graph.node for name in node.output}
    normalised = made_by.get("vector")
    mean = made_by.get(normalised.input[0]) if normalised is not None else None
    if mean is None or mean.op_type != "ReduceMean":
        raise ValueError(f"{path} is no encoder of a handbook")
    width = outputs["vector"].type.tensor_type.shape.dim[-1].dim_value
    graph.node.append(helper.make_node("Identity", [mean.input[0]], ["states"]))
    graph.output.append(helper.make_tensor_value_info("states", TensorProto.FLOAT, [1, "S", width]))
    path.write_bytes(model.SerializeToString())
