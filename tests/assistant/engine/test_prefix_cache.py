"""Snapshots: what is kept, what goes first, and that they come back as they were."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.engine.prefix_cache import PrefixCache, common_prefix

HEADS, CONTEXT, WIDTH = 2, 16, 4
TOKEN_BYTES = 2 * HEADS * WIDTH * 4  # of two buffers


def buffers(seed=0):
    drawn = np.random.default_rng(seed).normal(size=(2, 1, HEADS, CONTEXT, WIDTH))
    return [buffer.astype(np.float32) for buffer in drawn]


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2, 3], [1, 2], 2), ([1, 5], [1, 6], 1)],
)
def test_common_prefix(one, other, count):
    assert common_prefix(one, other) == count


def test_what_was_kept_comes_back_whole_or_in_part():
    cache, source = PrefixCache(), buffers()
    cache.keep([1, 2, 3, 4], source)
    kept = [buffer.copy() for buffer in source]
    for buffer in source:
        buffer[:] = 0  # the snapshot is a copy
    count, snapshot = cache.longest([1, 2, 3, 9])
    assert count == 3
    cache.restore(snapshot, count, source)
    for buffer, before in zip(source, kept, strict=True):
        np.testing.assert_array_equal(buffer[0, :, :3], before[0, :, :3])
        assert not buffer[0, :, 3:].any()
    assert cache.longest([1, 2, 3, 4])[0] == 4  # used in part: it stays
    cache.restore(snapshot, 4, source)
    assert cache.longest([1, 2, 3, 4])[0] == 0


def test_the_least_recently_used_goes_first_and_the_limit_holds():
    cache = PrefixCache(limit_bytes=8 * TOKEN_BYTES)
    cache.keep([1] * 4, buffers())
    cache.keep([2] * 4, buffers())
    cache.keep([1] * 3, buffers())  # held already, as part of the first, which is now the newest
    assert cache.size_bytes == 8 * TOKEN_BYTES
    cache.keep([3] * 4, buffers())
    assert cache.size_bytes == 8 * TOKEN_BYTES
    assert [cache.longest([n] * 4)[0] for n in (1, 2, 3)] == [4, 0, 4]
    cache.keep([4] * 9, buffers())  # larger than the limit
    assert cache.longest([4])[0] == 0
    assert cache.longest([1])[0] == 1


def test_a_continued_conversation_replaces_its_beginning():
    cache = PrefixCache()
    cache.keep([1, 2, 3], buffers())
    cache.keep([1, 2, 3, 4], buffers())
    assert cache.size_bytes == 4 * TOKEN_BYTES
