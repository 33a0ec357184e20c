"""A tiny tokenizer and tiny models, made in the process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.bundle import Architecture
from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint, save_checkpoint
from training.model import SequenceClassifier, Transformer
from training.tokenizer.train import train_tokenizer

WORDS = "open the settings and reset your password, then claim the free prize now or call me later "


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer with 320 ids."""
    return train_tokenizer([WORDS * 4], 320)


def shape(vocabulary_size: int) -> Architecture:
    """The smallest shape that has every part: two layers, grouped queries, QK-norm."""
    return Architecture(
        layers=2,
        width=32,
        heads=2,
        kv_heads=1,
        head_dim=16,
        feed_forward=48,
        vocabulary_size=vocabulary_size,
        qk_norm=True,
    )


@pytest.fixture
def transformer(tokenizer: Tokenizer) -> Transformer:
    """A transformer whose blocks do something (fresh ones are the identity)."""
    model = Transformer(shape(tokenizer.vocabulary_size), 128)
    model.initialize(1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def classifier(transformer: Transformer) -> SequenceClassifier:
    """A classifier with a head that is not zero."""
    torch.manual_seed(3)
    return SequenceClassifier(transformer, 2).eval()


@pytest.fixture
def foundation(transformer: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A saved checkpoint to start from."""
    place = tmp_path / "foundation"
    save_checkpoint(place, Checkpoint("pretrained", transformer, tokenizer))
    return place


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[str, list[dict[str, Any]]], Path]:
    """Write rows as JSON Lines and return the path."""

    def write(name: str, rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
