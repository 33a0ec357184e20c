"""Throw-away models and tokenizers, made in-process in milliseconds."""

from __future__ import annotations

import torch

from assistant.bundle import Architecture
from assistant.tokenizer import Tokenizer, TokenizerSpec
from training.checkpoint import Checkpoint
from training.model import Pooling, SequenceClassifier, Transformer

PATTERN = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
SPECIAL = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
MERGES = [b"th", b" t", b"in", b"er", b"an", b"re", b" a", b"on", b"the", b" the"]


def tiny_tokenizer() -> Tokenizer:
    """All bytes, ten merges, three special tokens."""
    ranks = {bytes([value]): value + 3 for value in range(256)}
    ranks |= {merge: 259 + index for index, merge in enumerate(MERGES)}
    size = 259 + len(MERGES)
    return Tokenizer(TokenizerSpec("tokenizer.tiktoken", PATTERN, SPECIAL, size), ranks)


def tiny_transformer(
    heads: int = 2,
    kv_heads: int = 1,
    head_dim: int = 32,
    width: int = 64,
    layers: int = 2,
    qk_norm: bool = False,
    context_length: int = 64,
    seed: int = 0,
) -> Transformer:
    """Random weights everywhere, also where ``initialize`` puts zeros, so every path counts."""
    architecture = Architecture(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        feed_forward=96,
        vocabulary_size=tiny_tokenizer().vocabulary_size,
        qk_norm=qk_norm,
    )
    transformer = Transformer(architecture, context_length)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in transformer.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(1 + 0.1 * drawn)
            else:
                parameter.copy_(drawn * 1.5 * parameter.shape[1] ** -0.5)
    return transformer.eval()


def tiny_chat(**shape: int) -> Checkpoint:
    """A chat checkpoint that babbles."""
    return Checkpoint("chat", tiny_transformer(**shape), tiny_tokenizer())


def tiny_classifier(max_tokens: int = 32, pooling: Pooling = "last", **shape: int) -> Checkpoint:
    """A spam classifier with random opinions."""
    transformer = tiny_transformer(**shape)
    classifier = SequenceClassifier(transformer, 2, pooling).eval()
    torch.manual_seed(1)
    torch.nn.init.normal_(classifier.score.weight, std=0.5)
    return Checkpoint(
        "classification",
        transformer,
        tiny_tokenizer(),
        classifier,
        ["ham", "spam"],
        {
            "positive": "spam",
            "threshold": 0.5,
            "unsure": [0.3, 0.5],
            "calibration": {"temperature": 1.5, "bias": -0.25},
            "windows": {"tokens": max_tokens, "stride": max_tokens // 2, "pool": "max"},
        },
    )
