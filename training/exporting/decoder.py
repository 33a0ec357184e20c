"""The ONNX graphs of our transformer: one for text generation, one for classification.

Generation: one graph serves prefill and decode. Keys and values live in buffers of the full
context that the caller allocates once and binds as input and output of the same node, so
nothing is copied; only the logits of the positions asked for are computed.

Shapes: S new tokens, R positions whose logits are wanted, C context length, K key/value heads,
E head dimension, B batch, D width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from training.checkpoint import Checkpoint
from training.exporting.adapters import adapters_of, base_layer
from training.exporting.calibration import Moments
from training.exporting.extension import extension
from training.exporting.graph import Graph, as_array
from training.exporting.ngrams import write_logits
from training.exporting.quantization import (
    Quantization,
    QuantizedMatrix,
    quantize_int4,
    quantize_int4_symmetric,
    quantize_int8,
)
from training.finetuning.lora import merged
from training.model import Attention, Block, RMSNorm, Transformer
from training.symmetric_grid import BLOCK

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


def _embedding(
    values_VD: NDArray[np.float32], quantization: Quantization
) -> QuantizedMatrix | None:
    """Quantize the tied embedding: as the head it decides every logit, so it has 8 bits.

    Only weights that were trained on the symmetric 4-bit grid keep it there.
    """
    if quantization == "float32":
        return None
    if quantization == "int4-symmetric":
        return quantize_int4_symmetric(values_VD)
    return quantize_int8(values_VD)


class DecoderGraph:
    """Builds the blocks that both graphs share."""

    def __init__(
        self,
        transformer: Transformer,
        quantization: Quantization,
        adapter_rank: int | None = None,
        moments: Moments | None = None,
        unpack: bool = False,
    ) -> None:
        if quantization != "int4":
            transformer = merged(transformer)
        self.transformer, self.quantization = transformer, quantization
        self.a = transformer.architecture
        self.adapter_rank, self.moments = adapter_rank, moments or {}
        self.lost: list[float] = []
        self.graph = Graph("decoder", unpack)
        self.embedding = as_array(transformer.embed_tokens.weight)
        self.quantized_embedding = _embedding(self.embedding, quantization)
        self.graph.weight("rope.cos", as_array(transformer.cos))
        self.graph.weight("rope.sin", as_array(transformer.sin))

    def linear(self, x: str, name: str, *modules: nn.Module) -> str:
        """Apply linear layers to the same input in one product, their outputs side by side.

        Quantized as configured; adapters stay beside 4-bit weights.
        """
        stacked = np.concatenate([as_array(base_layer(module).weight) for module in modules])
        if self.quantization == "int4":
            matrix = quantize_int4(stacked)
            more = extension(
                matrix, adapters_of(modules), self.adapter_rank, self.moments.get(modules[0])
            )
            self.lost.append(more.lost)
            return self.graph.linear(x, name, matrix, more)
        if self.quantization == "int8":
            return self.graph.linear(x, name, quantize_int8(stacked))
        if self.quantization == "int4-symmetric":
            return self.graph.linear(x, name, quantize_int4_symmetric(stacked))
        return self.graph.linear(x, name, stacked)

    def embed(self, ids: str) -> str:
        """Token ids to the residual stream [B, S, D]."""
        g = self.graph
        if self.quantized_embedding is None:
            return g.node("Gather", [g.weight("embedding.weight", self.embedding), ids])
        codes = g.weight("embedding.codes", self.quantized_embedding.codes_NGb)
        scales = g.weight("embedding.scales", self.quantized_embedding.scales_NG)
        last = g.weight("axis.2", np.array([2], np.int64))
        # [V, G, 32], at 4 bits two a byte, with scales [V, G, 1]: the very tensors that the head's
        # MatMulNBits reads.
        blocks = g.node(
            "GatherBlockQuantized",
            [codes, ids, g.node("Unsqueeze", [scales, last])],
            contrib=True,
            bits=self.quantized_embedding.bits,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=2,
        )
        padded = self.quantized_embedding.codes_NGb.shape[1] * BLOCK
        joined = g.node("Reshape", [blocks, g.weight("shape.joined", np.array([0, 0, padded]))])
        if padded != self.a.width:
            ends = [g.weight(f"slice.{v}", np.array([v], np.int64)) for v in (0, self.a.width, 2)]
            joined = g.node("Slice", [joined, *ends])
        return joined

    def head(self, x: str, output: str) -> None:
        """Hidden states to logits through the tied embedding."""
        g = self.graph
        if self.quantized_embedding is None:
            transposed = g.node("Transpose", ["embedding.weight"], perm=[1, 0])
            g.node("MatMul", [x, transposed], [output])
        else:
            g.quantized_product(x, "embedding", self.quantized_embedding)
            g.nodes[-1].output[0] = output

    def norm(self, x: str, name: str, module: RMSNorm, output: str = "") -> str:
        """RMSNorm over the last dimension."""
        gain = self.graph.weight(f"{name}.weight", as_array(module.weight))
        return self.graph.node(
            "SimplifiedLayerNormalization",
            [x, gain],
            [output] if output else None,
            axis=-1,
            epsilon=module.epsilon,
            stash_type=1,
        )

    def add_norm(self, x: str, delta: str, name: str, module: RMSNorm) -> tuple[str, str]:
        """Add to the residual stream and normalise in one node: (normed, stream)."""
        gain = self.graph.weight(f"{name}.weight", as_array(module.weight))
        outputs = [f"{name}.normed", "", "", f"{name}.stream"]
        self.graph.node(
            "SkipSimplifiedLayerNormalization",
            [x, delta, gain],
            outputs,
            contrib=True,
            epsilon=module.epsilon,
        )
        return outputs[0], outputs[3]

    def _head_norm(self, x: str, name: str, module: RMSNorm, heads: int) -> str:
        """QK-norm: normalise each head's vector in [B, S, heads E]."""
        g, E = self.graph, self.a.head_dim
        split = g.weight(f"shape.heads.{heads}", np.array([0, 0, heads, E]))
        joined = g.weight(f"shape.joined.{heads}", np.array([0, 0, heads * E]))
        normed = self.norm(g.node("Reshape", [x, split]), name, module)
        return g.node("Reshape", [normed, joined])

    def attention(
        self, x: str, index: int, module: Attention, past: list[str], wanted: str = ""
    ) -> str:
        """Grouped-query attention with rotary positions over the cache; see ``blocks``."""
        g, a, name = self.graph, self.a, f"layers.{index}.self_attn"
        projections = (module.q_proj, module.k_proj, module.v_proj)
        if a.qk_norm:
            q, k, v = (
                self.linear(x, f"{name}.{part}", projection)
                for part, projection in zip("qkv", projections, strict=True)
            )
            q = self._head_norm(q, f"{name}.q_norm", module.q_norm, a.heads)  # type: ignore[arg-type]
            k = self._head_norm(k, f"{name}.k_norm", module.k_norm, a.kv_heads)  # type: ignore[arg-type]
            query = [q, k, v]
        else:
            query = [self.linear(x, f"{name}.qkv", *projections), "", ""]
        present = [f"present_key.{index}", f"present_value.{index}"]
        attended = g.node(
            "GroupQueryAttention",
            [*query, *past, "seqlens_k", "total_sequence_length", "rope.cos", "rope.sin"],
            [f"{name}.attended", *present],
            contrib=True,
            num_heads=a.heads,
            kv_num_heads=a.kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
            scale=a.head_dim**-0.5,
        )
        return self.linear(self._only(attended, wanted), f"{name}.o_proj", module.o_proj)

    def _only(self, x: str, wanted: str) -> str:
        return self.graph.node("Gather", [x, wanted], axis=1) if wanted else x

    def feed_forward(self, x: str, index: int, block: Block) -> str:
        """SwiGLU with gate and up in one product; QuickGelu with alpha 1 is SiLU."""
        g, name, mlp = self.graph, f"layers.{index}.mlp", block.mlp
        gate, up = f"{name}.gate", f"{name}.up"
        product = self.linear(x, f"{name}.gate_up", mlp.gate_proj, mlp.up_proj)
        g.node("Split", [product], [gate, up], axis=-1, num_outputs=2)
        active = g.node("QuickGelu", [gate], contrib=True, alpha=1.0)
        product = g.node("Mul", [active, up])
        return self.linear(product, f"{name}.down_proj", mlp.down_proj)

    def blocks(self, x: str, pasts: list[list[str]], wanted: str = "") -> str:
        """All blocks; returns the residual stream before the final norm.

        Args:
            wanted: positions [R] that are asked for, all without it. The last block's output is
                computed for these alone; the others leave only keys and values there.
        """
        delta = ""
        for index, module in enumerate(self.transformer.layers):
            assert isinstance(module, Block)
            asked = wanted if index == len(pasts) - 1 else ""
            name = f"layers.{index}.input_layernorm"
            if delta:
                normed, x = self.add_norm(x, delta, name, module.input_layernorm)
            else:
                normed = self.norm(x, name, module.input_layernorm)
            delta = self.attention(normed, index, module.self_attn, pasts[index], asked)
            x = self._only(x, asked)
            name = f"layers.{index}.post_attention_layernorm"
            normed, x = self.add_norm(x, delta, name, module.post_attention_layernorm)
            delta = self.feed_forward(normed, index, module)
        return self.graph.node("Add", [x, delta])


def build_generation_graph(
    transformer: Transformer,
    quantization: Quantization,
    path: Path,
    adapter_rank: int | None = None,
    moments: Moments | None = None,
) -> float:
    """Write the graph of a generator; returns the share of adapters that it lost, as squares.

    Args:
        adapter_rank: of adapters beside 4-bit weights, at most; see ``extension``.
        moments: what truncated adapters should be right about.

    Inputs: ``input_ids`` int64 [1, S]; ``seqlens_k`` int32 [1] = past + S - 1;
    ``total_sequence_length`` int32 [] = past + S; ``logit_positions`` int64 [R] (within the new
    tokens); ``past_key.i``, ``past_value.i`` float [1, K, C, E].
    Outputs: ``logits`` float [1, R, V]; ``present_key.i``, ``present_value.i`` (same buffers).
    """
    b = DecoderGraph(transformer, quantization, adapter_rank, moments)
    g, a = b.graph, b.a
    g.input("input_ids", INT64, [1, "S"])
    g.input("seqlens_k", INT32, [1])
    g.input("total_sequence_length", INT32, [])
    g.input("logit_positions", INT64, ["R"])
    g.output("logits", FLOAT, [1, "R", a.vocabulary_size])
    pasts = []
    for index in range(a.layers):
        shape: list[int | str] = [1, a.kv_heads, "C", a.head_dim]
        names = [f"past_key.{index}", f"past_value.{index}"]
        pasts.append([g.input(name, FLOAT, shape) for name in names])
        for name in names:
            g.output(name.replace("past", "present"), FLOAT, shape)
    stream = b.blocks(b.embed("input_ids"), pasts, "logit_positions")
    b.head(b.norm(stream, "norm", transformer.norm), "logits")
    g.save(path)
    return float(np.mean(b.lost)) if b.lost else 0.0


def build_classification_graph(
    checkpoint: Checkpoint, quantization: Quantization, path: Path
) -> list[Path]:
    """Write the graph of a classifier; returns its external data files.

    Inputs: ``input_ids`` int64 [B, S], padded on the right; ``lengths`` int64 [B].
    Outputs: ``logits`` float [B, labels]; ``embedding`` float [B, D], what the score layer reads:
    the normalised state of each row's last real token, or the mean over its real tokens.
    """
    assert checkpoint.classifier is not None
    transformer = checkpoint.decoder
    b = DecoderGraph(transformer, quantization, unpack=True)
    g = b.graph
    ids = g.input("input_ids", INT64, ["B", "S"])
    lengths = g.input("lengths", INT64, ["B"])
    g.output("logits", FLOAT, ["B", len(checkpoint.labels)])
    g.output("embedding", FLOAT, ["B", b.a.width])
    # Plain causal attention over all S columns: padding stands to the right, so no real token
    # sees it, and what padding computes is never read.
    one = g.weight("one", np.array(1, np.int64))
    shape = g.node("Shape", [ids])
    rows = g.node("Gather", [shape, g.weight("zero", np.array(0, np.int64))])
    columns = g.node("Gather", [shape, one])
    g.node("Cast", [columns], ["total_sequence_length"], to=INT32)
    axis = g.weight("axis.0", np.array([0], np.int64))
    last = g.node("Cast", [g.node("Sub", [columns, one])], to=INT32)
    g.node("Expand", [last, g.node("Unsqueeze", [rows, axis])], ["seqlens_k"])
    stream = b.blocks(b.embed(ids), [["", ""]] * b.a.layers)
    axis_1 = g.weight("axis.1", np.array([1], np.int64))
    if checkpoint.classifier.pooling == "mean":
        states = b.norm(stream, "norm", transformer.norm)
        real, column = g.real_tokens(ids, lengths)
        pooled = g.mean_of_real(states, real, column, "embedding")
    else:
        index = g.node("Unsqueeze", [g.node("Sub", [lengths, one]), axis_1])
        last_state = g.node("GatherND", [stream, index], batch_dims=1)
        pooled = b.norm(last_state, "norm", transformer.norm, "embedding")
    write_logits(g, checkpoint.classifier, pooled, ids, lengths)
    return g.save(path)
