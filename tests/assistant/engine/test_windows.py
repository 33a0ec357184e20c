"""Long texts in windows: nothing of a text stays unread, and every window is full."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.engine import windows as policy
from assistant.engine.windows import (
    GLANCED,
    MOST_WINDOWS,
    READING,
    SKIMMED,
    SKIMMED_TOKENS,
    Windows,
    encode_windows,
)
from assistant.tokenizer import Tokenizer

END = -1


class _Letters:
    """A tokenizer for which each character is its own id, its code."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def special(self, name: str) -> int:
        return END


LETTERS = cast("Tokenizer", _Letters())


def letters(count: int) -> str:
    """A text in which every character stands only once."""
    return "".join(chr(1000 + number) for number in range(count))


def test_a_long_text_is_read_head_and_tail_first_and_then_side_by_side() -> None:
    text = letters(100)
    first, *others = encode_windows(text, LETTERS, 32, 31, 0.75)
    ids = LETTERS.encode(text)
    assert first == [*ids[:23], *ids[-8:], END]
    assert others == encode_windows(text, LETTERS, 32, 31)
    assert others == [[*ids[at : at + 31], END] for at in (0, 31, 62, 69)]


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_short_text_is_one_window_however_long_ones_are_read(length: int) -> None:
    text = letters(length)
    for windows in (Windows(32, 31), Windows(32, 31, 0.75), Windows(32, 31, 0.75, 6)):
        assert windows.cut(text, LETTERS) == [[*LETTERS.encode(text), END]]


@given(st.integers(0, 40), st.integers(32, 600), st.integers(24, 64))
@settings(deadline=None)
def test_with_the_first_paragraph_repeated_all_is_read_in_full_windows(
    paragraph: int, length: int, tokens: int
) -> None:
    head = letters(paragraph)
    text = f"{head}\n\n{letters(length + 100)[100:]}"
    windows = Windows(tokens, tokens - 1, 0.75, 5).cut(text, LETTERS)
    ids = LETTERS.encode(text)
    if len(ids) < tokens:
        assert windows == [[*ids, END]]
        return
    assert {i for window in windows for i in window} == {*ids, END}
    assert all(len(window) == tokens for window in windows)
    assert all(window[: min(5, paragraph)] == ids[: min(5, paragraph)] for window in windows)
    assert len(windows) <= 2 + len(ids) // (tokens - 6)


def test_without_paragraphs_nothing_is_repeated() -> None:
    text = letters(100)
    windows = Windows(32, 31, 0.75, 6).cut(text, LETTERS)
    ids = LETTERS.encode(text)
    assert windows[1:] == [[*ids[at : at + 31], END] for at in (23, 46, 69)]


def test_of_an_endless_text_windows_at_even_distances_are_read() -> None:
    text = letters(40_000)
    _, *others = Windows(32, 31, 0.75, 6).cut(text, LETTERS)
    assert len(others) == MOST_WINDOWS
    distances = [b[0] - a[0] for a, b in pairwise(others)]
    assert max(distances) - min(distances) <= 1
    assert distances[0] == pytest.approx(40_000 / MOST_WINDOWS, abs=1)


@given(st.integers(0, 40), st.integers(300, 3000))
def test_skimming_reads_a_few_passages_of_what_head_and_tail_leave(
    paragraph: int, length: int
) -> None:
    text = f"{letters(paragraph)}\n\n{letters(length + 100)[100:]}"
    ids = LETTERS.encode(text)
    windows = Windows(256, 255, 0.75, 48)
    passages = windows.skim(text, LETTERS)
    assert 1 <= len(passages) <= SKIMMED
    for passage in passages:
        assert passage[:paragraph] == ids[:paragraph]
        assert len(passage) == paragraph + SKIMMED_TOKENS + 1
        assert passage[-1] == END
        at = ids.index(passage[paragraph])
        assert passage[paragraph:-1] == ids[at : at + SKIMMED_TOKENS]
        assert 191 - SKIMMED_TOKENS < at < len(ids) - 64
    # in the middle of equal shares of the unread part
    middles = [ids.index(passage[paragraph]) + SKIMMED_TOKENS / 2 for passage in passages]
    unread = len(ids) - 255
    for index, middle in enumerate(middles):
        wanted = 191 + unread * (2 * index + 1) / (2 * len(middles))
        assert abs(middle - wanted) <= 2 or paragraph + length < 400


def test_a_glance_is_beginning_middle_and_end_of_a_text_worth_one() -> None:
    windows = Windows(256, 255, 0.75, 48)
    assert windows.glance(letters(119), LETTERS) == []
    assert Windows(128, 127, 0.75, 48).glance(letters(500), LETTERS) == []
    ids, (head, size, tail) = LETTERS.encode(letters(501)), GLANCED
    glance = windows.glance(letters(501), LETTERS)
    assert glance[:head] == ids[:head]
    assert glance[-tail - 1 :] == [*ids[-tail:], END]
    middle = glance[head : -tail - 1]
    at = ids.index(middle[0])
    assert middle == ids[at : at + size]
    # as far from what the head holds as from what the tail holds
    assert abs((at - head) - (len(ids) - tail - at - size)) <= 1
    assert windows.skim_after_glance(letters(255), LETTERS) == []
    counts = [len(windows.skim_after_glance(letters(n), LETTERS)) for n in (300, 400, 700, 5000)]
    assert counts == [1, 2, 3, 3]


def test_a_change_of_what_is_read_is_another_reading() -> None:
    """Raise READING and write down the new digest: scores of mailboxes are kept by it."""
    windows, text = Windows(256, 255, 0.75, 48), f"{letters(30)}\n\n{letters(3000)}"
    read = [windows.cut(text, LETTERS), windows.skim(text, LETTERS), windows.glance(text, LETTERS)]
    read += [windows.skim_after_glance(text, LETTERS), windows.cut(letters(20), LETTERS)]
    bars = [policy.CLEAR, policy.SUSPICIOUS, policy.GLANCED_CLEAR, policy.GLANCED_CONVICTED]
    digest = hashlib.sha256(repr((read, bars)).encode()).hexdigest()[:16]
    assert (READING, digest) == (1, "24355ef469e5c043")
