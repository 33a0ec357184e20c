"""The ONNX graphs compute what torch computes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from assistant.bundle import damaged_files, file_sha256, load_bundle
from assistant.engine.classifier import OnnxClassifier
from assistant.engine.generator import TextGenerator
from assistant.engine.windows import encode_windows
from assistant.errors import ModelError
from tests.support.tiny import tiny_chat, tiny_classifier, tiny_tokenizer
from training.checkpoint import Checkpoint
from training.exporting.export import export_bundle
from training.exporting.quantization import (
    quantize_int4,
    quantize_int4_symmetric,
    quantize_int8,
)

SHAPES = [
    {},
    {"heads": 3, "kv_heads": 3, "width": 96},
    {"heads": 4, "kv_heads": 2, "head_dim": 16, "qk_norm": True},
    {"width": 80, "layers": 1},  # no multiple of the quantization block
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("past", "new"), [(0, 1), (0, 7), (5, 1), (6, 9), (30, 34)])
def test_float_graph_gives_torchs_logits_at_every_past_and_length(tmp_path, shape, past, new):
    checkpoint = tiny_chat(**shape)
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="float32")
    generator = TextGenerator(bundle, threads=1)
    ids = np.random.default_rng(past + new).integers(3, 260, past + new).tolist()
    with torch.no_grad():
        expected = checkpoint.transformer(torch.tensor([ids]))[0].numpy()
    if past:
        generator.forward(ids[:past])
    got = generator.forward(ids[past:], list(range(new)))
    np.testing.assert_allclose(got, expected[past:], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("quantization", ["int8", "int4", "int4-symmetric"])
def test_quantized_graph_equals_torch_with_the_dequantized_weights(tmp_path, shape, quantization):
    checkpoint = tiny_chat(**shape)
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization=quantization)
    kinds = {"int8": quantize_int8, "int4": quantize_int4}
    quantize = kinds.get(quantization, quantize_int4_symmetric)
    with torch.no_grad():
        for name, parameter in checkpoint.transformer.named_parameters():
            if parameter.ndim == 2:
                eight = "embed" in name and quantization != "int4-symmetric"
                kind = quantize_int8 if eight else quantize
                parameter.copy_(torch.from_numpy(kind(parameter.numpy()).dequantize()))
    ids = list(range(40, 60))
    with torch.no_grad():
        expected = torch.log_softmax(checkpoint.transformer(torch.tensor([ids]))[0], -1)
    got = TextGenerator(bundle, threads=1).forward(ids, list(range(len(ids))))
    found = torch.log_softmax(torch.from_numpy(got.copy()), -1)
    # what remains is the rounding of activations to 8 bits
    divergence = (expected.exp() * (expected - found)).sum(-1).mean()
    assert divergence < 0.01


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_classification_graph_equals_torch_whatever_the_batch(tmp_path, quantization, pooling):
    checkpoint = tiny_classifier(pooling=pooling)
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization=quantization)
    classifier = OnnxClassifier(bundle, threads=1)
    texts = ["", "a", "the other thing", "free money " * 2, "x" * 25]
    windows = [encode_windows(text, tiny_tokenizer(), 32, 16)[0] for text in texts]
    assert checkpoint.classifier is not None
    with torch.no_grad():
        alone = [
            checkpoint.classifier(torch.tensor([w]), torch.tensor([len(w)]))[0] for w in windows
        ]
    expected = np.array([float(logits[1] - logits[0]) for logits in alone])
    # 8 bits of weights and activations move a margin by some hundredths of its size
    tolerance = {"atol": 1e-4} if quantization == "float32" else {"atol": 0.2, "rtol": 0.06}
    np.testing.assert_allclose(classifier.margins(windows), expected, **tolerance)
    one_by_one = np.concatenate([classifier.margins([window]) for window in windows])
    np.testing.assert_allclose(classifier.margins(windows), one_by_one, atol=1e-4)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_embedding_is_what_torchs_score_layer_reads(tmp_path, quantization, pooling):
    checkpoint = tiny_classifier(pooling=pooling)
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization=quantization)
    classifier = OnnxClassifier(bundle, threads=1)
    texts = ["", "a", "free money " * 2, "the quick brown fox jumps over the lazy dog " * 4]
    scores = classifier.embed(texts)
    assert classifier.embedding_width == 64
    assert scores == classifier.score(texts)
    head = checkpoint.classifier
    assert head is not None
    for text, score in zip(texts, scores, strict=True):
        window = encode_windows(text, tiny_tokenizer(), 32, 16)[int(np.argmax(score.windows))]
        with torch.no_grad():
            expected = head.pooled(torch.tensor([window]), torch.tensor([len(window)]))[0].numpy()
            logits = head.score(torch.from_numpy(score.embedding))
        cosine = expected @ score.embedding / np.linalg.norm(expected)
        assert cosine / np.linalg.norm(score.embedding) > 0.99
        if quantization == "float32":
            np.testing.assert_allclose(score.embedding, expected, atol=1e-4)
        # the score layer's own reading of the embedding is the verdict
        margin = float(logits[1] - logits[0])
        assert 1 / (1 + np.exp(-(margin / 1.5 - 0.25))) == pytest.approx(score.probability, 1e-3)


def test_a_bundle_without_embeddings_scores_and_says_what_is_missing(tmp_path):
    bundle = export_bundle(tiny_classifier(), tmp_path / "b", "b", quantization="float32")
    model = onnx.load(bundle.graph_path, load_external_data=False)
    del model.graph.output[1]
    onnx.save(model, bundle.graph_path)
    files = bundle.files | {bundle.graph_path.name: file_sha256(bundle.graph_path)}
    old = OnnxClassifier(replace(bundle, files=files), threads=1)
    assert old.embedding_width == 0
    assert old.score(["a text"])[0].embedding is None
    with pytest.raises(ModelError, match="computes no embeddings"):
        old.embed(["a text"])


def test_the_revision_is_that_of_the_weights(tmp_path):
    first = OnnxClassifier(export_bundle(tiny_classifier(), tmp_path / "1", "b"), threads=1)
    again = OnnxClassifier(export_bundle(tiny_classifier(), tmp_path / "2", "c"), threads=1)
    other = OnnxClassifier(export_bundle(tiny_classifier(seed=9), tmp_path / "3", "b"), threads=1)
    assert first.revision == again.revision != other.revision


def test_scoring_changes_with_whatever_a_score_is_made_of(tmp_path, monkeypatch):
    bundle = export_bundle(tiny_classifier(), tmp_path / "1", "b")
    before = OnnxClassifier(bundle, threads=1)
    facts = bundle.classification
    for name in ("threshold", "calibration", "windows"):
        value = {"threshold": 0.4, "calibration": {"temperature": 2.0, "bias": 0.0}}.get(
            name, facts["windows"] | {"later_penalty": 2.0}
        )
        other = OnnxClassifier(replace(bundle, classification=facts | {name: value}), threads=1)
        assert other.revision == before.revision
        assert other.scoring != before.scoring
    assert OnnxClassifier(bundle, threads=1).scoring == before.scoring
    scoring = before.scoring
    monkeypatch.setattr("assistant.engine.classifier.READING", -1)
    assert before.scoring != scoring


def test_scores_are_calibrated_and_the_worst_window_counts(tmp_path):
    checkpoint = tiny_classifier()
    checkpoint.extra |= {"threshold": 0.999, "unsure": [0.3, 0.999]}  # nothing convicts at once
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="float32")
    classifier = OnnxClassifier(bundle, threads=1)
    text = "the quick brown fox jumps over the lazy dog and on and on " * 3
    windows = encode_windows(text, tiny_tokenizer(), 32, 16)
    assert len(windows) > 3
    margins = classifier.margins(windows)
    score = classifier.score(["short", text])[1]
    expected = 1 / (1 + np.exp(-(margins / 1.5 - 0.25)))
    np.testing.assert_allclose(score.windows, expected, atol=1e-5)
    assert score.probability == max(score.windows)


def test_a_tied_embedding_is_stored_once(tmp_path):
    checkpoint = tiny_chat(width=256, heads=4, head_dim=64)
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="int8")
    weights = sum(p.numel() for p in checkpoint.transformer.parameters())
    stored = sum(path.stat().st_size for path in bundle.directory.glob("*.data"))
    assert stored < 1.25 * weights


def test_a_bundle_is_whole_and_its_card_tells_where_it_comes_from(tmp_path):
    checkpoint = tiny_classifier()
    checkpoint.provenance = {"foundation": "made for this test"}
    checkpoint.extra["metrics"] = {"validation": {"roc_auc": 0.875}}
    bundle = export_bundle(checkpoint, tmp_path / "b", "b")
    assert damaged_files(bundle) == []
    assert set(bundle.files) == {p.name for p in bundle.directory.iterdir()} - {"bundle.json"}
    card = (bundle.directory / "README.md").read_text()
    assert "made for this test" in card
    assert "0.8750" in card


def test_a_changed_byte_is_found(tmp_path):
    bundle = export_bundle(tiny_chat(), tmp_path / "b", "b")
    path = next(bundle.directory.glob("*.data"))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    assert damaged_files(load_bundle(bundle.directory)) == [path.name]


def test_a_failed_export_leaves_the_old_bundle(tmp_path, monkeypatch):
    bundle = export_bundle(tiny_chat(), tmp_path / "b", "first")
    monkeypatch.setattr("training.exporting.export.model_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_bundle(tiny_chat(), tmp_path / "b", "second")
    assert json.loads((bundle.directory / "bundle.json").read_text())["name"] == "first"
    assert [p.name for p in tmp_path.iterdir() if "b" in p.name] == ["b"]


def test_files_are_split_below_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("training.exporting.graph.MAXIMUM_FILE_BYTES", 60_000)
    checkpoint: Checkpoint = tiny_chat()
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="int8")
    files = sorted(bundle.directory.glob("*.data"))
    assert len(files) > 1
    assert all(path.stat().st_size <= 60_000 for path in files)
    assert TextGenerator(bundle, threads=1).forward([5, 6]).shape == (1, 269)


def test_a_text_that_its_beginning_convicts_is_not_read_on(tmp_path):
    checkpoint = tiny_classifier()
    text = "the quick brown fox jumps over the lazy dog and on and on " * 3
    margin = OnnxClassifier(
        export_bundle(checkpoint, tmp_path / "b", "b", quantization="float32"), threads=1
    ).margins(encode_windows(text, tiny_tokenizer(), 32, 16)[:1])[0]
    first = float(1 / (1 + np.exp(-(margin / 1.5 - 0.25))))
    counts = []
    for threshold in (first - 0.01, first + 0.01):
        checkpoint.extra |= {"threshold": threshold, "unsure": [0.0, threshold]}
        bundle = export_bundle(checkpoint, tmp_path / "c", "c", quantization="float32")
        score = OnnxClassifier(bundle, threads=1).score(["short", text, ""])[1]
        assert score.windows[0] == pytest.approx(first, abs=1e-5)
        counts.append(len(score.windows))
    assert counts[0] == 1 < counts[1]
