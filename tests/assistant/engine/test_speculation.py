"""Prompt lookup: what it guesses, against a slow obvious version."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assistant.engine.speculation import (
    LONGEST_GUESS,
    LONGEST_MATCH,
    PLACES,
    SHORTEST_MATCH,
    PromptLookup,
)


def slow_guess(text, limit):
    """Try every earlier place: the longest match wins, of equal ones the latest."""
    ends = [
        end
        for end in range(SHORTEST_MATCH, len(text))
        if text[end - SHORTEST_MATCH : end] == text[-SHORTEST_MATCH:]
    ]
    best, longest = 0, 0
    for end in reversed(ends[-PLACES:]):
        length = 0
        while length < min(LONGEST_MATCH, end) and text[end - 1 - length] == text[-1 - length]:
            length += 1
        if length > longest:
            best, longest = end, length
    count = max(0, min(limit, LONGEST_GUESS, longest - 1))
    return text[best : best + count]


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.lists(st.integers(0, 3), max_size=20),
    st.integers(-1, 9),
)
def test_it_guesses_what_the_slow_version_finds(prompt, answer, limit):
    lookup = PromptLookup(prompt)
    for token in answer:
        lookup.extend([token])
    assert lookup.guess(limit) == slow_guess([*prompt, *answer], limit)


def test_a_copied_passage_is_guessed_further_the_longer_it_matches():
    passage = list(range(50, 80))
    lookup = PromptLookup([1, 2, *passage, 3, 4, 5])
    lookup.extend(passage[:2])
    assert lookup.guess(9) == []
    lookup.extend(passage[2:3])
    assert lookup.guess(9) == passage[3:5]
    lookup.extend(passage[3:10])
    assert lookup.guess(9) == passage[10 : 10 + LONGEST_GUESS]
    assert lookup.guess(2) == passage[10:12]


def test_nothing_is_guessed_without_a_match():
    assert PromptLookup([]).guess(9) == []
    assert PromptLookup(list(range(40))).guess(9) == []
