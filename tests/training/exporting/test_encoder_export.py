"""An encoder's ONNX graph computes what torch computes, whatever the batch."""

import numpy as np
import pytest
import torch

from assistant.bundle import Architecture
from assistant.engine.classifier import OnnxClassifier
from assistant.errors import ModelError
from assistant.tokenizer import END_OF_TEXT, TokenizerSpec
from assistant.wordpiece import WordPieceTokenizer
from training.checkpoint import Checkpoint
from training.encoder import Encoder
from training.exporting.encoder import feature_layers
from training.exporting.export import export_bundle
from training.exporting.quantization import quantize_int8
from training.model import SequenceClassifier

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *".,:!?"]


@pytest.fixture(params=[64, 128])
def checkpoint(request):
    torch.manual_seed(5)
    width = request.param
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
    encoder = Encoder(architecture, 40)
    spec = TokenizerSpec("tokenizer.tiktoken", "", {END_OF_TEXT: 3}, len(PIECES), "wordpiece")
    ranks = {piece.encode(): number for number, piece in enumerate(PIECES)}
    return Checkpoint(
        task="classification",
        transformer=encoder.eval(),
        tokenizer=WordPieceTokenizer(spec, ranks),
        classifier=SequenceClassifier(encoder, 2).eval(),
        labels=["ham", "spam"],
        extra={
            "positive": "spam",
            "threshold": 0.5,
            "unsure": [0.3, 0.5],
            "calibration": {"temperature": 1.0, "bias": 0.0},
            "windows": {"tokens": 32, "stride": 24},
        },
    )


def windows(*lengths):
    draw = np.random.default_rng(7)
    return [[*draw.integers(4, len(PIECES), length - 1).tolist(), 3] for length in lengths]


def dequantized(checkpoint):
    for name, parameter in checkpoint.classifier.named_parameters():
        table = "word_embeddings" in name and parameter.shape[1] % 128 == 0
        matrix = parameter.ndim == 2 and "embeddings" not in name and "score" not in name
        if matrix:
            parameter.data = torch.from_numpy(quantize_int8(parameter.data.numpy()).dequantize())
        elif table:
            blocks = parameter.data.reshape(len(parameter), -1, 128)
            scales = blocks.abs().amax(-1, keepdim=True) / 127
            parameter.data = ((blocks / scales).round() * scales).reshape(parameter.shape)


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_margins_and_embeddings_equal_torchs(checkpoint, tmp_path, quantization):
    classifier = OnnxClassifier(
        export_bundle(checkpoint, tmp_path / "b", "b", quantization=quantization), threads=1
    )
    if quantization == "int8":
        dequantized(checkpoint)
    rows = windows(3, 32, 11, 1)
    found = classifier.margins(rows)
    for row, margin in zip(rows, found, strict=True):
        ids, lengths = torch.tensor([row]), torch.tensor([len(row)])
        with torch.no_grad():
            logits = checkpoint.classifier(ids, lengths)[0]
        assert margin == pytest.approx(float(logits[1] - logits[0]), abs=1e-4)


def test_texts_are_read_and_embedded(checkpoint, tmp_path):
    classifier = OnnxClassifier(export_bundle(checkpoint, tmp_path / "b", "b"), threads=1)
    texts = ["", "Hello, you!", "many words " * 40]
    assert len(classifier.windows.cut(texts[2], classifier.tokenizer)) > 1
    empty, short, long = classifier.embed(texts)
    assert classifier.score([]) == classifier.embed([]) == []
    width = checkpoint.transformer.architecture.width
    assert all(score.embedding.shape == (2 * width,) for score in (empty, short, long))
    assert classifier.embedding_width == 2 * width


def test_features_are_the_means_of_what_the_layers_return(checkpoint, tmp_path):
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="float32")
    (score,) = OnnxClassifier(bundle, threads=1).embed(["hello"])
    seen = []
    for block in checkpoint.transformer.encoder["layer"]:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    row = torch.tensor([[*checkpoint.tokenizer.encode("hello"), 3]])
    with torch.no_grad():
        checkpoint.classifier(row, torch.tensor([row.shape[1]]))
    expected = torch.cat([state.mean(dim=1)[0] for state in seen])
    np.testing.assert_allclose(score.embedding, expected.numpy(), atol=1e-4)


def test_features_come_from_three_depths():
    assert feature_layers(6) == [1, 3, 5]
    assert feature_layers(12) == [2, 6, 10]
    assert feature_layers(1) == [1]


def test_several_cores_give_what_one_gives_in_the_order_asked_for(checkpoint, tmp_path):
    bundle = export_bundle(checkpoint, tmp_path / "b", "b")
    rows = windows(*np.random.default_rng(3).integers(1, 32, 200).tolist())
    one, four = (OnnxClassifier(bundle, threads=threads).margins(rows) for threads in (1, 4))
    alone = [OnnxClassifier(bundle, threads=1).margins([row])[0] for row in rows[:20]]
    assert np.array_equal(one, four)
    assert one[:20] == pytest.approx(alone, abs=1e-5)


def test_a_failure_on_another_core_is_said(checkpoint, tmp_path):
    classifier = OnnxClassifier(export_bundle(checkpoint, tmp_path / "b", "b"), threads=4)
    rows = [*windows(*[30] * 40), [4] * 60]  # more than the model has positions for
    with pytest.raises(ModelError, match="failed"):
        classifier.margins(rows)


def test_four_bits_are_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="int8 or float32"):
        export_bundle(checkpoint, tmp_path / "b", "b", quantization="int4")
