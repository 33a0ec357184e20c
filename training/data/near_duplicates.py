"""Finding documents that are nearly the same, by MinHash, in bounded memory.

A document's shingles are all runs of five of its token ids. One-permutation hashing (Li, Owen and
Zhang 2012, https://arxiv.org/abs/1208.1259) sorts their hashes once and keeps the smallest of each
of 64 ranges; empty ranges take the next one's value (rotation, Shrivastava and Li 2014,
https://proceedings.mlr.press/v32/shrivastava14.html). The share of equal values estimates the
Jaccard similarity. Documents that agree in a band of four values are compared; the bands are
looked at one after the other, so that memory holds 20 bytes a document, not its signature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
SLOTS = 64
BAND = 4
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xC4CEB9FE1A85EC53)
_RANGE = np.uint64(2**64 // SLOTS)
_BOUNDS = np.arange(SLOTS, dtype=np.uint64) * _RANGE
_ROTATION = np.uint64(0x9DDFEA08EB382D69)

Signature = NDArray[np.uint32]


def signature(ids: NDArray[np.uint16]) -> Signature:
    """Return a document's signature, [64] of uint32.

    A text of fewer than five tokens is one shingle.
    """
    hashes = _shingles(ids)
    hashes.sort()
    first = np.searchsorted(hashes, _BOUNDS)
    bounded = np.minimum(first, len(hashes) - 1)
    smallest = hashes[bounded]
    filled = (first < len(hashes)) & (smallest // _RANGE == np.arange(SLOTS, dtype=np.uint64))
    if not filled.all():
        places = np.flatnonzero(filled)
        slots = np.arange(SLOTS)
        following = np.searchsorted(places, slots)
        source = places[following % len(places)]
        distance = ((source - slots) % SLOTS).astype(np.uint64)
        smallest = smallest[source] + distance * _ROTATION
    return (smallest >> np.uint64(24)).astype(np.uint32)


def _shingles(ids: NDArray[np.uint16]) -> NDArray[np.uint64]:
    wide = ids.astype(np.uint64) + np.uint64(1)
    count = max(len(wide) - SHINGLE + 1, 1)
    hashes = np.zeros(count, np.uint64)
    for offset in range(min(SHINGLE, len(wide))):
        hashes = hashes * _MULTIPLIER + wide[offset : offset + count]
    hashes ^= hashes >> np.uint64(33)
    hashes *= _SPREAD
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    return hashes


def similarity(one: Signature, other: Signature) -> float:
    """Return the estimate of the Jaccard similarity of two documents' shingles, 0 to 1."""
    return float(np.mean(one == other))


def near_duplicates(
    signatures: Sequence[Signature], threshold: float, dropped: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which documents are nearly the same as an earlier one.

    Args:
        signatures: [documents, 64] in pieces, each perhaps a memory map.
        threshold: smallest similarity that counts.
        dropped: documents that are out already, and neither compared nor compared with.
    """
    near = np.zeros(len(dropped), bool)
    starts = np.cumsum([0, *(len(piece) for piece in signatures)])
    for band in range(0, SLOTS, BAND):
        keys = np.concatenate([_band_keys(piece, band) for piece in signatures])
        candidates = np.flatnonzero(~dropped & ~near)
        order = candidates[np.argsort(keys[candidates], kind="stable")]
        sorted_keys = keys[order]
        begins = np.flatnonzero(np.append(True, sorted_keys[1:] != sorted_keys[:-1]))
        sizes = np.diff(np.append(begins, len(order)))
        leaders = np.repeat(order[begins], sizes)  # the first document of each group
        pairs = np.flatnonzero(order != leaders)
        for start in range(0, len(pairs), 4096):
            some = pairs[start : start + 4096]
            a = _rows(signatures, starts, order[some])
            b = _rows(signatures, starts, leaders[some])
            near[order[some][(a == b).mean(axis=1) >= threshold]] = True
    return near


def _band_keys(piece: Signature, band: int) -> NDArray[np.uint64]:
    keys = np.zeros(len(piece), np.uint64)
    for slot in range(band, band + BAND):
        keys = keys * _MULTIPLIER + np.asarray(piece[:, slot]).astype(np.uint64)
    return keys


def _rows(
    signatures: Sequence[Signature], starts: NDArray[np.int64], index: NDArray[np.int64]
) -> Signature:
    """Gather rows from the pieces, in the order of ``index``."""
    found = np.empty((len(index), SLOTS), np.uint32)
    pieces = np.searchsorted(starts, index, side="right") - 1
    for piece in np.unique(pieces):
        here = pieces == piece
        found[here] = signatures[piece][index[here] - starts[piece]]
    return found
