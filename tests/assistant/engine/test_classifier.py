"""Batches of the classifier; what it computes is compared with torch in tests/training."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assistant.engine.classifier import similar_lengths


@given(st.lists(st.integers(0, 300), max_size=80), st.integers(1, 600))
def test_every_text_is_in_one_batch_and_no_batch_is_too_large(
    lengths: list[int], tokens: int
) -> None:
    batches = similar_lengths(lengths, tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens


@given(st.lists(st.integers(1, 300), min_size=1, max_size=80))
def test_the_longest_come_first_and_neighbours_are_alike(lengths: list[int]) -> None:
    order = [lengths[index] for batch in similar_lengths(lengths, 256) for index in batch]
    assert order == sorted(lengths, reverse=True)
