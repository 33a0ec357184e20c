"""A throw-away sentence encoder in BERT's layout."""

from __future__ import annotations

import torch

from assistant.bundle import Architecture
from assistant.tokenizer import END_OF_TEXT, TokenizerSpec
from assistant.wordpiece import WordPieceTokenizer
from training.checkpoint import Checkpoint
from training.encoder import Encoder

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{c}" for c in LETTERS), *".,:!?"]


def tiny_encoder(width: int = 64) -> Checkpoint:
    """Two layers with random weights; a width of 128 has its embedding in 8 bits on export."""
    torch.manual_seed(1)
    architecture = Architecture(
        layers=2,
        width=width,
        heads=4,
        kv_heads=4,
        head_dim=width // 4,
        feed_forward=96,
        vocabulary_size=len(PIECES),
        layout="bert",
    )
    encoder = Encoder(architecture, 128).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # biases and gains count too
    spec = TokenizerSpec("tokenizer.tiktoken", "", {END_OF_TEXT: 3}, len(PIECES), "wordpiece")
    ranks = {piece.encode(): number for number, piece in enumerate(PIECES)}
    return Checkpoint("pretrained", encoder, WordPieceTokenizer(spec, ranks))
