"""Read a Llama-layout GGUF: architecture, dequantized weights, byte-level BPE vocabulary.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, TokenType, dequantize
from torch import Tensor

from assistant.bundle import Architecture
from assistant.tokenizer import Tokenizer, TokenizerSpec

# The pre-tokenizer that llama.cpp calls "smollm": digits singly, then GPT-2's split.
SPLIT_PATTERNS = {
    "smollm": (r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"),
}
LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


@dataclass(frozen=True)
class GgufModel:
    """What an import needs of a GGUF file."""

    name: str
    license: str
    quantization: str
    architecture: Architecture
    context_length: int
    tensors: dict[str, Tensor]
    tokenizer: Tokenizer


def read_gguf(path: Path) -> GgufModel:
    """Read a GGUF with Llama layout, tied embeddings and a byte-level BPE vocabulary.

    Raises:
        ValueError: damaged, or of a layout this importer does not know.
    """
    try:
        reader = GGUFReader(path)
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise ValueError(f"{path} is no readable GGUF file: {error}") from error
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if fields.get("general.architecture") != "llama":
        raise ValueError(
            f"{path} has architecture {fields.get('general.architecture')!r}; only 'llama' is known"
        )
    names = {tensor.name for tensor in reader.tensors}
    if "output.weight" in names:
        raise ValueError(f"{path} has an untied output head; only tied embeddings are known")
    heads = int(fields["llama.attention.head_count"])
    width = int(fields["llama.embedding_length"])
    architecture = Architecture(
        layers=int(fields["llama.block_count"]),
        width=width,
        heads=heads,
        kv_heads=int(fields["llama.attention.head_count_kv"]),
        head_dim=int(fields.get("llama.rope.dimension_count", width // heads)),
        feed_forward=int(fields["llama.feed_forward_length"]),
        vocabulary_size=len(fields["tokenizer.ggml.tokens"]),
        rope_theta=float(fields["llama.rope.freq_base"]),
        norm_epsilon=round(float(fields["llama.attention.layer_norm_rms_epsilon"]), 10),
    )
    return GgufModel(
        name=str(fields.get("general.name", path.stem)),
        license=str(fields.get("general.license", "")),
        quantization=next(t.tensor_type.name for t in reader.tensors if "ffn_down" in t.name),
        architecture=architecture,
        context_length=int(fields["llama.context_length"]),
        tensors=_tensors(reader, architecture),
        tokenizer=_tokenizer(fields, path),
    )


def _tensors(reader: GGUFReader, architecture: Architecture) -> dict[str, Tensor]:
    """Dequantize to float32 under our names, [out, in]."""
    tensors: dict[str, Tensor] = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        base = tensor.name.removesuffix(".weight")
        if base == "token_embd":
            name = "embed_tokens.weight"
        elif base == "output_norm":
            name = "norm.weight"
        else:
            try:
                _, layer, part = base.split(".")
                name = f"layers.{layer}.{LAYER_NAMES[part]}.weight"
            except (ValueError, KeyError) as error:
                raise ValueError(f"unknown tensor {tensor.name!r} in the GGUF file") from error
            if part == "attn_q":
                values = values[_rotary_rows(values.shape[0], architecture.heads)]
            elif part == "attn_k":
                values = values[_rotary_rows(values.shape[0], architecture.kv_heads)]
        tensors[name] = torch.from_numpy(np.ascontiguousarray(values))
    return tensors


def _rotary_rows(rows: int, heads: int) -> np.ndarray:
    """Row order that undoes llama.cpp's interleaving of the rotary pairs."""
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)


def byte_characters() -> dict[str, int]:
    """Return GPT-2's printable stand-in for each byte, as character to byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in printable]
    table = {chr(value): value for value in printable}
    return table | {chr(256 + index): value for index, value in enumerate(others)}


def _tokenizer(fields: dict[str, Any], path: Path) -> Tokenizer:
    """Build the exact tokenizer: in these vocabularies ids are merge ranks."""
    flavour = fields.get("tokenizer.ggml.pre")
    if fields.get("tokenizer.ggml.model") != "gpt2" or flavour not in SPLIT_PATTERNS:
        raise ValueError(
            f"{path} has tokenizer {fields.get('tokenizer.ggml.model')!r} / {flavour!r}; known: "
            f"gpt2 / {', '.join(SPLIT_PATTERNS)}"
        )
    to_byte = byte_characters()
    ranks: dict[bytes, int] = {}
    special: dict[str, int] = {}
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind == TokenType.CONTROL:
            special[token] = index
        else:
            ranks[bytes(to_byte[character] for character in token)] = index
    merged = [ranks[_join(merge, to_byte)] for merge in fields["tokenizer.ggml.merges"]]
    if any(a >= b for a, b in itertools.pairwise(merged)):
        raise ValueError(f"{path}: merges are not in the order of the ids, ranks would be wrong")
    spec = TokenizerSpec(
        file="tokenizer.tiktoken",
        pattern=SPLIT_PATTERNS[str(flavour)],
        special_tokens=special,
        vocabulary_size=len(tokens),
    )
    return Tokenizer(spec, ranks)


def _join(merge: str, to_byte: dict[str, int]) -> bytes:
    left, right = merge.split(" ")
    return bytes(to_byte[character] for character in left + right)
