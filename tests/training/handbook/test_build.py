"""The exported encoder against the library's model, and the folder around it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from assistant.handbook.encoder import OnnxTextEncoder
from assistant.handbook.search import HandbookSettings
from assistant.handbook.wordpiece import WordPiece
from tests.support.handbook import ENTRIES
from training.handbook.build import build_handbook, open_handbook, read_facts
from training.handbook.graph import BertEncoder, build_encoder_graph

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz?"]
PIECES += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture(params=[64, 128])
def encoder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A BERT with two layers and random weights; 128 has its embedding in 8 bits."""
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=request.param,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # biases and gains count too
    directory = tmp_path / "encoder"
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return directory


@pytest.mark.parametrize(("quantized", "least"), [(False, 0.99999), (True, 0.99)])
def test_the_vector_is_the_librarys_mean_of_states(
    encoder: Path, tmp_path: Path, quantized: bool, least: float
) -> None:
    build_encoder_graph(BertEncoder(encoder), tmp_path / "g.onnx", 40, quantized)
    tokenizer = WordPiece.load(encoder / "vocab.txt", 40)
    ours = OnnxTextEncoder(tmp_path / "g.onnx", tokenizer)
    model = BertModel.from_pretrained(encoder, add_pooling_layer=False).eval()
    for text in ("how do i reset my password?", "a", "", "the router blinks " * 9):
        with torch.no_grad():
            states = model(torch.tensor([tokenizer.encode(text)])).last_hidden_state[0]
        expected = torch.nn.functional.normalize(states.mean(0), dim=0).numpy()
        vector = ours.encode(text)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert float(vector @ expected) > least


def test_a_built_folder_opens_again_and_finds(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    built = build_handbook(encoder, ENTRIES, folder, HandbookSettings(0.2, 0.3, 2), {"a": "b"})
    opened = open_handbook(folder)
    assert opened.entries == built.entries == ENTRIES
    assert opened.settings == HandbookSettings(0.2, 0.3, 2)
    best = opened.find(["I was charged twice"])[0]
    assert best.entry.id == "bil-0001"
    assert best.score == pytest.approx(1, abs=1e-3)
    facts = read_facts(folder)
    named = {*facts["files"].values(), *facts["data"], "handbook.json"}
    assert {path.name for path in folder.iterdir()} == named


def test_a_folder_that_holds_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no BERT encoder"):
        BertEncoder(tmp_path)
    facts = {"files": {"graph": "../x"}, "data": []}
    (tmp_path / "handbook.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ValueError, match="not in the folder"):
        read_facts(tmp_path)
