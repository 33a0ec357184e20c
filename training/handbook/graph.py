"""The ONNX graph of a BERT sentence encoder: ids to one vector of length one.

The vector is the mean of the last layer's states (https://arxiv.org/abs/1908.10084). One text at
a time, so nothing is padded and nothing needs a mask.

Shapes: S tokens, D width, V vocabulary.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors.numpy import load_file

from training.exporting.graph import Graph
from training.exporting.quantization import quantize_int8

EMBEDDING_BLOCK = 128
WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocab.txt"
Weights = dict[str, NDArray[np.float32]]


class BertEncoder:
    """Weights and shape of an encoder in the format of Hugging Face.

    Args:
        directory: holds config.json, model.safetensors and vocab.txt.

    Raises:
        ValueError: a file is missing or the architecture is another.
    """

    def __init__(self, directory: Path) -> None:
        try:
            config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
            weights = load_file(directory / WEIGHTS)
        except (OSError, ValueError) as error:
            raise ValueError(f"{directory} holds no BERT encoder ({error})") from error
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise ValueError(f"{directory} holds no BERT encoder with GELU")
        self.vocabulary = directory / VOCABULARY
        self.layers = int(config["num_hidden_layers"])
        self.heads = int(config["num_attention_heads"])
        self.epsilon = float(config["layer_norm_eps"])
        self.weights: Weights = {
            name.removeprefix("bert."): np.asarray(values, np.float32)
            for name, values in weights.items()
            if values.dtype.kind == "f"
        }

    @property
    def width(self) -> int:
        """Width of a state and of the vector."""
        return int(self.weights["embeddings.word_embeddings.weight"].shape[1])


def build_encoder_graph(
    encoder: BertEncoder, path: Path, max_tokens: int, quantized: bool = True
) -> list[Path]:
    """Write the graph with weights of 8 bits (or float32); returns its data files.

    Input: ``input_ids`` int64 [1, S], S at most ``max_tokens``. Output: ``vector`` float [1, D].
    """
    g, w, width = Graph("encoder"), encoder.weights, encoder.width
    ids = g.input("input_ids", TensorProto.INT64, [1, "S"])
    g.output("vector", TensorProto.FLOAT, [1, width])

    def linear(x: str, name: str, matrix: NDArray[np.float32]) -> str:
        return g.linear(x, name, quantize_int8(matrix) if quantized else matrix)

    def norm(name: str) -> list[str]:
        return [g.weight(f"{name}.{part}", w[f"{name}.{part}"]) for part in ("weight", "bias")]

    positions = w["embeddings.position_embeddings.weight"][:max_tokens]
    # every token is of the first segment: its vector is part of the positions
    positions = positions + w["embeddings.token_type_embeddings.weight"][0]
    length = g.node("Shape", [ids], start=1)
    zero = g.weight("axis.0", np.array([0], np.int64))
    place = g.node("Slice", [g.weight("positions", positions), zero, length, zero])
    x = g.node("Add", [_embed(g, ids, w, quantized), place])
    x = g.node(
        "LayerNormalization", [x, *norm("embeddings.LayerNorm")], axis=-1, epsilon=encoder.epsilon
    )
    for index in range(encoder.layers):
        name = f"encoder.layer.{index}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        stacked = np.concatenate([w[f"{part}.weight"] for part in parts])
        query, key, value = (f"{name}.{part}" for part in "qkv")
        product = linear(x, f"{name}.qkv", stacked)
        g.node("Split", [product], [query, key, value], axis=-1, num_outputs=3)
        bias = np.concatenate([w[f"{part}.bias"] for part in parts])
        attended = g.node(
            "MultiHeadAttention",
            [query, key, value, g.weight(f"{name}.qkv.bias", bias)],
            contrib=True,
            num_heads=encoder.heads,
        )
        for output, middle in (("attention.output", ""), ("output", "intermediate.dense")):
            delta = attended
            if middle:
                dense = f"{name}.{middle}"
                wide = linear(x, dense, w[f"{dense}.weight"])
                bias_name = g.weight(f"{dense}.bias", w[f"{dense}.bias"])
                delta = g.node("BiasGelu", [wide, bias_name], contrib=True)
            dense = f"{name}.{output}.dense"
            delta = linear(delta, dense, w[f"{dense}.weight"])
            x = g.node(
                "SkipLayerNormalization",
                [
                    delta,
                    x,
                    *norm(f"{name}.{output}.LayerNorm"),
                    g.weight(f"{dense}.bias", w[f"{dense}.bias"]),
                ],
                contrib=True,
                epsilon=encoder.epsilon,
            )
    mean = g.node("ReduceMean", [x, g.weight("axis.1", np.array([1], np.int64))], keepdims=0)
    g.node("LpNormalization", [mean], ["vector"], axis=1, p=2)
    return g.save(path)


def _embed(g: Graph, ids: str, w: Weights, quantized: bool) -> str:
    table_VD = w["embeddings.word_embeddings.weight"]
    if not quantized or table_VD.shape[1] % EMBEDDING_BLOCK:
        return g.node("Gather", [g.weight("embedding", table_VD), ids])
    blocks = table_VD.reshape(len(table_VD), -1, EMBEDDING_BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-10).astype(np.float32)
    codes = np.clip(np.rint(blocks / scales[..., None]), -127, 127) + 128
    return g.node(
        "GatherBlockQuantized",
        [
            g.weight("embedding.codes", codes.astype(np.uint8).reshape(table_VD.shape)),
            ids,
            g.weight("embedding.scales", scales),
        ],
        contrib=True,
        bits=8,
        block_size=EMBEDDING_BLOCK,
        gather_axis=0,
        quantize_axis=1,
    )
