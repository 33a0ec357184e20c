"""Near-copies go, documents that merely share words stay."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.near_duplicates import Signature, near_duplicates, signatures, similarity


def random_ids(draw: np.random.Generator, count: int) -> NDArray[np.uint16]:
    return draw.integers(1, 3000, count).astype(np.uint16)


def signature(ids: NDArray[np.uint16]) -> Signature:
    return signatures(ids, np.array([len(ids)]))[0]


def jaccard(one: NDArray[np.uint16], other: NDArray[np.uint16]) -> float:
    a, b = ({tuple(ids[i : i + 5]) for i in range(len(ids) - 4)} for ids in (one, other))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("changed", [0, 1, 4, 12, 40])
def test_the_estimate_is_near_the_similarity_counted_slowly(changed: int) -> None:
    draw = np.random.default_rng(changed)
    estimates, exact = [], []
    for _ in range(40):
        one = random_ids(draw, 400)
        other = one.copy()
        other[draw.choice(400, changed, replace=False)] = random_ids(draw, changed)
        estimates.append(similarity(signature(one), signature(other)))
        exact.append(jaccard(one, other))
    # the mean of 40 estimates of 64 values each: a deviation of about 0.01
    assert np.mean(estimates) == pytest.approx(np.mean(exact), abs=0.03)


def test_short_documents_have_signatures_too() -> None:
    short = [np.arange(1, n + 1, dtype=np.uint16) for n in range(1, 9)]
    found = [signature(ids) for ids in short]
    assert all(len(s) == 64 for s in found)
    assert all(similarity(s, s) == 1.0 for s in found)
    assert similarity(found[0], found[1]) < 0.2
    assert similarity(found[6], found[7]) > 0.5


def test_a_signature_does_not_depend_on_the_documents_beside_it() -> None:
    draw = np.random.default_rng(1)
    documents = [random_ids(draw, int(n)) for n in draw.integers(1, 300, 50)]
    lengths = np.array([len(ids) for ids in documents])
    together = signatures(np.concatenate(documents), lengths)
    assert (together == np.stack([signature(ids) for ids in documents])).all()


def test_later_near_copies_are_found_across_pieces_and_nothing_else_is() -> None:
    draw = np.random.default_rng(5)
    documents = [random_ids(draw, int(n)) for n in draw.integers(30, 600, 300)]
    expected = np.zeros(360, bool)
    for number in range(60):
        copy = documents[number].copy()
        copy[0] = 2999 - copy[0] % 7  # one token of at least thirty
        documents.append(copy)
        expected[300 + number] = jaccard(documents[number], copy) >= 0.9
    found_in = np.stack([signature(ids) for ids in documents])
    pieces = [found_in[:100], found_in[100:100], found_in[100:301], found_in[301:]]
    found = near_duplicates(pieces, 0.7, np.zeros(360, bool))
    assert found[expected].all()
    assert not found[:300].any()
    whole = near_duplicates([found_in], 0.7, np.zeros(360, bool))
    assert (whole == found).all()
    gone = np.zeros(360, bool)
    gone[:60] = True  # what is out already is no original either
    assert not near_duplicates(pieces, 0.7, gone)[300:].any()
