"""Finding documents that are nearly the same, by MinHash, in bounded memory.

A document's shingles are all runs of five of its token ids. One-permutation hashing (Li, Owen and
Zhang 2012, https://arxiv.org/abs/1208.1259) hashes them once and keeps the smallest of each of 64
ranges; empty ranges take the next one's value (rotation, Shrivastava and Li 2014,
https://proceedings.mlr.press/v32/shrivastava14.html). The share of equal values estimates the
Jaccard similarity. Documents that agree in a band of four values are compared; the bands are
looked at one after the other, so that memory holds some 50 bytes a document, not its signature.
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
_ROTATION = np.uint64(0x9DDFEA08EB382D69)
_EMPTY = np.uint64(2**64 - 1)

Signature = NDArray[np.uint32]


def signatures(ids: NDArray[np.uint16], lengths: NDArray[np.int64]) -> Signature:
    """Return the signatures of documents, [documents, 64] of uint32.

    A document of fewer than five tokens is one shingle.

    Args:
        ids: of all documents, one after the other.
        lengths: [documents] tokens of each, at least 1.
    """
    ends = np.cumsum(lengths)
    shingles = np.maximum(lengths - SHINGLE + 1, 1)
    document = np.repeat(np.arange(len(lengths)), shingles)
    first = np.arange(len(document)) - np.repeat(np.cumsum(shingles) - shingles, shingles)
    position = np.repeat(ends - lengths, shingles) + first
    hashes = _hashes(ids, position, ends[document])
    flat = np.full(len(lengths) * SLOTS, _EMPTY)
    slot = (hashes >> np.uint64(58)).astype(np.int64)  # the highest 6 bits: one of 64
    np.minimum.at(flat, document * SLOTS + slot, hashes)
    table = flat.reshape(-1, SLOTS)
    filled = table != _EMPTY
    # the next filled slot, around the end: from the right, the smallest index seen so far
    index = np.where(filled, np.arange(SLOTS), 4 * SLOTS)
    twice = np.concatenate([index, index + SLOTS], axis=1)
    following = np.minimum.accumulate(twice[:, ::-1], axis=1)[:, ::-1][:, :SLOTS]
    distance = (following - np.arange(SLOTS)).astype(np.uint64)
    taken = np.take_along_axis(table, following % SLOTS, axis=1) + distance * _ROTATION
    return (taken >> np.uint64(24)).astype(np.uint32)


def _hashes(
    ids: NDArray[np.uint16], position: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Return a hash of the five ids from each position on; behind a document's end are zeros."""
    wide = np.append(ids, np.zeros(SHINGLE, ids.dtype)).astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(len(position), np.uint64)
    for offset in range(SHINGLE):
        inside = position + offset < end
        hashes = hashes * _MULTIPLIER + wide[position + offset] * inside
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
