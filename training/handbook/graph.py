"""The ONNX graph of the handbook's encoder: ids to one vector of length one.

The vector is the mean of the last layer's states (https://arxiv.org/abs/1908.10084). One text at
a time, so nothing is padded and nothing needs a mask.

Shapes: S tokens, D width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto

from training.encoder import Encoder
from training.exporting.encoder import EncoderGraph
from training.exporting.quantization import Quantization


def build_text_encoder_graph(
    encoder: Encoder, quantization: Quantization, path: Path, max_tokens: int
) -> list[Path]:
    """Write the graph; returns its data files.

    Input: ``input_ids`` int64 [1, S], S at most ``max_tokens``. Output: ``vector`` float [1, D].
    """
    b = EncoderGraph(encoder, quantization, "handbook")
    positions = "embeddings.position_embeddings.weight"
    b.weights[positions] = b.weights[positions][:max_tokens]
    g = b.graph
    ids = g.input("input_ids", TensorProto.INT64, [1, "S"])
    g.output("vector", TensorProto.FLOAT, [1, encoder.architecture.width])
    tokens = g.weight("axis.tokens", np.array([1], np.int64))
    mean = g.node("ReduceMean", [b.states(ids), tokens], keepdims=0)
    g.node("LpNormalization", [mean], ["vector"], axis=1, p=2)
    return g.save(path)
