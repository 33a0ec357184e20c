"""What a classifier says of a text, as operators of its graph: score layer and n-gram margin."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from training.exporting.graph import Graph, as_array
from training.model import SequenceClassifier
from training.ngrams import MULTIPLIER, NGramScore


def write_logits(
    g: Graph, classifier: SequenceClassifier, pooled: str, ids: str, lengths: str
) -> None:
    """Add ``logits`` [B, labels] from what the score layer reads, [B, D].

    Args:
        ids: int64 [B, S], padded on the right.
        lengths: int64 [B], the end token counted.
    """
    matrix, bias = as_array(classifier.score.weight), as_array(classifier.score.bias)
    product = g.linear(pooled, "score", matrix)
    bias_name = g.weight("score.bias", bias)
    if classifier.ngrams is None:
        g.node("Add", [product, bias_name], ["logits"])
        return
    margin = add_ngram_margin(g, classifier.ngrams, ids, lengths)
    last = np.zeros((1, len(bias)), np.float32)
    last[0, -1] = 1
    wide = g.node("Mul", [margin, g.weight("ngrams.label", last)])
    g.node("Add", [g.node("Add", [product, bias_name]), wide], ["logits"])


def add_ngram_margin(g: Graph, score: NGramScore, ids: str, lengths: str) -> str:
    """Return the margin [B, 1] of texts.

    Args:
        ids: int64 [B, S], padded on the right.
        lengths: int64 [B], the end token counted.
    """

    def number(name: str, value: int) -> str:
        return g.weight(f"ngrams.{name}", np.array([value], np.int64))

    zero, one, last = number("zero", 0), number("one", 1), number("last", -1)
    # pairs of neighbours, hashed
    left = g.node("Slice", [ids, zero, last, one])
    right = g.node("Slice", [ids, one, number("far", 2**31), one])
    hashed = g.node("Add", [g.node("Mul", [left, number("multiplier", MULTIPLIER)]), right])
    hashed = g.node("Mod", [hashed, number("buckets", score.buckets)])
    pairs = g.node("Add", [hashed, number("vocabulary", score.vocabulary_size)])
    features = g.node("Concat", [ids, pairs], axis=1)
    # a text's end token and what lies behind it are none
    inside, _ = g.real_tokens(ids, g.node("Sub", [lengths, one]))
    second = g.node("Slice", [inside, one, number("far", 2**31), one])
    real = g.node("Concat", [inside, second], axis=1)
    # each feature counts where it comes first in its own text: the first places of unique keys
    scalars = [g.weight(f"number.{n}", np.array(n, np.int64)) for n in (0, 1)]
    rows = g.node("Squeeze", [g.node("Shape", [ids], end=1)])
    own = g.node("Unsqueeze", [g.node("Range", [scalars[0], rows, scalars[1]]), one])
    keys = g.node("Add", [features, g.node("Mul", [own, number("stride", len(score.weight) + 1)])])
    keys = g.node("Where", [real, keys, number("none", -1)])
    flat = g.node("Reshape", [keys, last])
    g.node("Unique", [flat], ["ngrams.unique", "ngrams.places"], sorted=1)
    shape = g.node("Shape", [flat])
    zeros = g.node("ConstantOfShape", [shape], value=_scalar(0.0))
    ones = g.node("ConstantOfShape", [g.node("Shape", ["ngrams.places"])], value=_scalar(1.0))
    marked = g.node("ScatterElements", [zeros, "ngrams.places", ones], axis=0)
    first = g.node("Reshape", [marked, g.node("Shape", [features])])
    counted = g.node("Mul", [first, g.node("Cast", [real], to=TensorProto.FLOAT)])
    weights = g.node("Gather", [g.weight("ngrams.weight", as_array(score.weight)), features])
    total = g.node("ReduceSum", [g.node("Mul", [weights, counted]), one], keepdims=1)
    count = g.node("ReduceSum", [counted, one], keepdims=1)
    least = g.weight("ngrams.least", np.array([1.0], np.float32))
    mean = g.node("Div", [total, g.node("Sqrt", [g.node("Max", [count, least])])])
    return g.node("Add", [mean, g.weight("ngrams.bias", as_array(score.bias).reshape(1))])


def _scalar(value: float) -> Any:
    return helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
