"""The ONNX graphs of an encoder in BERT's layout.

Shapes: B texts, S tokens, D width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from training.checkpoint import Checkpoint
from training.encoder import Encoder
from training.exporting.graph import Graph
from training.exporting.ngrams import write_logits
from training.exporting.quantization import Quantization, QuantizedMatrix, quantize_int8

EMBEDDING_BLOCK = 128
Array = NDArray[np.float32]


class EncoderGraph:
    """Builds the graph of an encoder: ids to states.

    Matrices are stored in 8 bits unless ``quantization`` is float32; ``unpack`` as in ``Graph``.
    """

    def __init__(
        self, encoder: Encoder, quantization: Quantization, name: str, unpack: bool = False
    ) -> None:
        self.graph, self.encoder = Graph(name, unpack=unpack), encoder
        self.quantized = quantization != "float32"
        self.weights: dict[str, Array] = {
            key: value.detach().float().cpu().numpy() for key, value in encoder.state_dict().items()
        }

    def matrix(self, weight: Array) -> Array | QuantizedMatrix:
        """Return a weight [N, K] as it is stored."""
        return quantize_int8(weight) if self.quantized else weight

    def embed(self, ids: str) -> str:
        """Look up words, add positions and the first segment, normalise: [B, S, D]."""
        g, w, a = self.graph, self.weights, self.encoder.architecture
        table_VD = w["embeddings.word_embeddings.weight"]
        if not self.quantized or a.width % EMBEDDING_BLOCK:
            words = g.node("Gather", [g.weight("words", table_VD), ids])
        else:
            blocks = table_VD.reshape(len(table_VD), -1, EMBEDDING_BLOCK)
            scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-10).astype(np.float32)
            codes = np.clip(np.rint(blocks / scales[..., None]), -127, 127) + 128
            words = g.node(
                "GatherBlockQuantized",
                [
                    g.weight("words.codes", codes.astype(np.uint8).reshape(table_VD.shape)),
                    ids,
                    g.weight("words.scales", scales),
                ],
                contrib=True,
                bits=8,
                block_size=EMBEDDING_BLOCK,
                gather_axis=0,
                quantize_axis=1,
            )
        # every token is of the first segment: its vector is part of the positions
        positions = w["embeddings.position_embeddings.weight"]
        positions = positions + w["embeddings.token_type_embeddings.weight"][0]
        length = g.node("Shape", [ids], start=1)
        zero = g.weight("axis.0", np.array([0], np.int64))
        place = g.node("Slice", [g.weight("positions", positions), zero, length, zero])
        return self.norm(g.node("Add", [words, place]), "embeddings.LayerNorm")

    def norm(self, x: str, name: str) -> str:
        """LayerNorm of the last dimension."""
        inputs = [x, *self._norm_weights(name)]
        epsilon = self.encoder.architecture.norm_epsilon
        return self.graph.node("LayerNormalization", inputs, axis=-1, epsilon=epsilon)

    def _norm_weights(self, name: str) -> list[str]:
        parts = [f"{name}.{part}" for part in ("weight", "bias")]
        return [self.graph.weight(part, self.weights[part]) for part in parts]

    def _linear(self, x: str, name: str) -> str:
        return self.graph.linear(x, name, self.matrix(self.weights[f"{name}.weight"]))

    def _bias(self, name: str) -> str:
        return self.graph.weight(f"{name}.bias", self.weights[f"{name}.bias"])

    def states(self, ids: str, mask: str = "") -> str:
        """Return the last layer's states [B, S, D]; ``mask`` int32 [B, S] is 1 at real tokens."""
        return self.layers(ids, mask)[-1]

    def layers(self, ids: str, mask: str = "") -> list[str]:
        """Return the states [B, S, D] after each layer, see ``states``."""
        x, found = self.embed(ids), []
        for index in range(self.encoder.architecture.layers):
            name = f"encoder.layer.{index}"
            x = self._rejoin(self._attend(x, name, mask), x, f"{name}.attention.output")
            wide = self._linear(x, f"{name}.intermediate.dense")
            bias = self._bias(f"{name}.intermediate.dense")
            x = self._rejoin(
                self.graph.node("BiasGelu", [wide, bias], contrib=True), x, f"{name}.output"
            )
            found.append(x)
        return found

    def _attend(self, x: str, name: str, mask: str) -> str:
        g, w = self.graph, self.weights
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        bias = np.concatenate([w[f"{part}.bias"] for part in parts])
        inputs = [self._linear(x, part) for part in parts]
        inputs.append(g.weight(f"{name}.qkv.bias", bias))
        return g.node(
            "MultiHeadAttention",
            [*inputs, mask] if mask else inputs,
            contrib=True,
            num_heads=self.encoder.architecture.heads,
        )

    def _rejoin(self, inner: str, x: str, name: str) -> str:
        """Project, add to the stream and normalise.

        ``Sum``, because onnxruntime would fuse ``Add`` into SkipLayerNormalization, which takes
        four times as long on the CPU (version 1.32).
        """
        delta = self._linear(inner, f"{name}.dense")
        total = self.graph.node("Sum", [delta, self._bias(f"{name}.dense"), x])
        return self.norm(total, f"{name}.LayerNorm")


def feature_layers(layers: int) -> list[int]:
    """Return the layers, counted from 1, whose means are features: 1, 3 and 5 of six."""
    return sorted({max(1, round(layers * depth / 6)) for depth in (1, 3, 5)})


def build_encoder_classification_graph(
    checkpoint: Checkpoint, quantization: Quantization, path: Path
) -> list[Path]:
    """Write the graph of a classifier on an encoder; returns its external data files.

    Inputs: ``input_ids`` int64 [B, S], padded on the right; ``lengths`` int64 [B].
    Outputs: ``logits`` float [B, labels]; ``embedding`` float [B, D], the mean state of the
    real tokens, which the score layer reads; ``features`` float [B, 3 D], their means at three
    depths (``feature_layers``), for heads that are fitted on somebody's own mail: the last layer
    has forgotten what its own task did not need.
    """
    assert checkpoint.classifier is not None
    assert isinstance(checkpoint.transformer, Encoder)
    encoder = checkpoint.transformer
    b = EncoderGraph(encoder, quantization, "classifier", unpack=True)
    g, width = b.graph, encoder.architecture.width
    ids = g.input("input_ids", TensorProto.INT64, ["B", "S"])
    lengths = g.input("lengths", TensorProto.INT64, ["B"])
    g.output("logits", TensorProto.FLOAT, ["B", len(checkpoint.labels)])
    g.output("embedding", TensorProto.FLOAT, ["B", width])
    real, column = g.real_tokens(ids, lengths)
    states = b.layers(ids, g.node("Cast", [real], to=TensorProto.INT32))
    g.mean_of_real(states[-1], real, column, "embedding")
    depths = feature_layers(len(states))
    g.output("features", TensorProto.FLOAT, ["B", len(depths) * width])
    means = [g.mean_of_real(states[depth - 1], real, column, f"mean.{depth}") for depth in depths]
    g.node("Concat", means, ["features"], axis=-1)
    write_logits(g, checkpoint.classifier, "embedding", ids, lengths)
    return g.save(path)
