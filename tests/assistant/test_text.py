from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.text import byte_size, escape_controls, sanitize, sanitize_line

ANY_TEXT = st.text(alphabet=st.characters(codec=None))


@given(ANY_TEXT)
def test_no_control_character_but_tab_and_newline_is_left(text: str) -> None:
    safe = sanitize(text)
    assert not [c for c in safe if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t"]
    assert sanitize(safe) == safe


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert sanitize(text) == text


def test_escape_sequences_lose_what_makes_them_work() -> None:
    assert sanitize("\x1b]52;c;aGk=\x07 \x9b31m \x90q\x9c") == "]52;c;aGk= 31m q"


def test_bidirectional_controls_and_invisible_tags_are_removed() -> None:
    assert sanitize("a\u202eb\u2066c\u2069d\U000e0041e\u200ff") == "abcdef"


def test_line_ends_become_newlines() -> None:
    assert sanitize("a\r\nb\rc\nd") == "a\nb\nc\nd"


@given(ANY_TEXT, st.integers(2, 50))
def test_a_line_is_one_line_of_at_most_its_limit(text: str, limit: int) -> None:
    line = sanitize_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


def test_a_line_that_is_cut_says_so() -> None:
    assert sanitize_line("one\n two  three", 8) == "one two…"
    assert sanitize_line("one\n two", 8) == "one two"


@given(ANY_TEXT)
def test_escaped_controls_can_be_printed(text: str) -> None:
    escape_controls(text).encode("utf-8")
    assert "\x1b" not in escape_controls(text)


def test_controls_are_shown_by_their_numbers() -> None:
    assert escape_controls("a\x1b\u202e\n") == "a\\x1b\\u202e\n"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")],
)
def test_sizes_are_shown_in_the_unit_a_person_would_use(count: int, shown: str) -> None:
    assert byte_size(count) == shown
