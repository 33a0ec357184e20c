"""The n-gram margin: what it counts, what it learns, and that the graph computes the same."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from assistant.tokenizer import Tokenizer
from tests.support.tiny import tiny_classifier
from training.checkpoint import load_checkpoint, save_checkpoint
from training.evaluation.metrics import roc_auc
from training.exporting.export import export_bundle
from training.finetuning.labelled_text import LabelledText
from training.finetuning.length_buckets import pad
from training.finetuning.ngrams import (
    NGramConfig,
    choose_share,
    fit_ngrams,
    ngram_margins,
    scaled,
)
from training.ngrams import MULTIPLIER, NGramScore


def _drawn(vocabulary: int, buckets: int) -> NGramScore:
    score = NGramScore(vocabulary, buckets)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        score.weight.copy_(torch.randn(score.weight.shape, generator=generator))
        score.bias.fill_(0.25)
    return score.requires_grad_(False)


def _by_definition(score: NGramScore, ids: list[int]) -> float:
    tokens = ids[:-1]
    pairs = itertools.pairwise(tokens)
    features = set(tokens)
    features |= {(a * MULTIPLIER + b) % score.buckets + score.vocabulary_size for a, b in pairs}
    total = sum(float(score.weight[feature]) for feature in features)
    return total / max(1, len(features)) ** 0.5 + float(score.bias)


TEXTS = [[9], [5, 9], [5, 5, 5, 9], [5, 6, 5, 6, 7, 9], list(range(3, 40)), [7, 6, 5, 9]]


def test_each_different_token_and_pair_counts_once_and_the_end_never() -> None:
    score = _drawn(48, 31)
    ids, lengths = pad(TEXTS)
    found = score(ids, lengths)
    for row, text in enumerate(TEXTS):
        assert float(found[row]) == pytest.approx(_by_definition(score, text), abs=1e-5)
    # neither padding nor the other texts of a batch change anything
    alone = score(torch.tensor([TEXTS[3]]), torch.tensor([len(TEXTS[3])]))
    assert float(alone) == pytest.approx(float(found[3]), abs=1e-6)


def test_a_checkpoint_and_its_graph_keep_it(tmp_path: Path) -> None:
    checkpoint = tiny_classifier()
    classifier = checkpoint.classifier
    assert classifier is not None
    vocabulary = checkpoint.transformer.architecture.vocabulary_size
    plain = classifier(*pad(TEXTS)).detach()
    classifier.ngrams = _drawn(vocabulary, 97)
    expected = classifier(*pad(TEXTS)).detach()
    torch.testing.assert_close(expected[:, 0], plain[:, 0])
    torch.testing.assert_close(expected[:, 1] - plain[:, 1], classifier.ngrams(*pad(TEXTS)))
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    assert loaded.classifier is not None
    torch.testing.assert_close(loaded.classifier(*pad(TEXTS)), expected)
    bundle = export_bundle(loaded, tmp_path / "bundle", "tiny", quantization="float32")
    session = onnxruntime.InferenceSession(bundle.directory / "model.onnx")
    ids, lengths = pad(TEXTS)
    (logits,) = session.run(["logits"], {"input_ids": ids.numpy(), "lengths": lengths.numpy()})
    np.testing.assert_allclose(logits, expected.numpy(), atol=2e-4)


def _texts(count: int, seed: int) -> list[LabelledText]:
    """Spam holds one pair of words that good mail holds apart, twenty times the rest is chance."""
    draw = random.Random(seed)  # noqa: S311
    texts = []
    for number in range(count):
        words = [
            draw.choice(["one", "two", "three", "four", "five", "six", "seven"]) for _ in range(20)
        ]
        place = draw.randrange(18)
        if number % 2:
            words[place : place + 2] = ["free", "money"]
        else:
            words[place : place + 2] = ["money", "free"]
        texts.append(LabelledText(" ".join(words), number % 2, "a", str(number)))
    return texts


def test_it_learns_what_only_the_order_of_words_tells(tokenizer: Tokenizer) -> None:
    config = NGramConfig(buckets=4096, epochs=8)
    score = fit_ngrams(_texts(300, 1), tokenizer, 64, config, seed=1)
    again = fit_ngrams(_texts(300, 1), tokenizer, 64, config, seed=1)
    assert torch.equal(score.weight, again.weight)
    texts = _texts(100, 2)
    margins = ngram_margins(score, [[[*tokenizer.encode(t.text), 0]] for t in texts])
    positive = np.array([text.label == 1 for text in texts])
    assert roc_auc(positive, np.array([m[0] for m in margins])) > 0.97


def test_its_share_is_what_predicts_best() -> None:
    generator = np.random.default_rng(1)
    positive = generator.random(2000) < 0.5
    good = [np.array([x]) for x in np.where(positive, 2.0, -2.0) + generator.normal(size=2000)]
    noise = [np.array([x]) for x in generator.normal(size=2000)]
    assert choose_share(positive, good, noise) == 0
    other = [np.array([x]) for x in np.where(positive, 2.0, -2.0) + generator.normal(size=2000)]
    assert 0.6 <= choose_share(positive, good, other) <= 1.6
    assert choose_share(positive, noise, good) == 3.0


def test_scaling_scales_the_margin() -> None:
    score = _drawn(48, 31)
    ids, lengths = pad(TEXTS)
    torch.testing.assert_close(scaled(score, 0.5)(ids, lengths), 0.5 * score(ids, lengths))
