from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.window import Part, shortened

TEXT = "one two three four five"


def at_most(words: int):
    return lambda text: len(text.split()) <= words


def test_the_start_or_the_end_is_kept() -> None:
    assert shortened(TEXT, "start", at_most(2)) == "one two"
    assert shortened(TEXT, "end", at_most(2)) == "four five"
    assert shortened(TEXT, "start", at_most(9)) == shortened(TEXT, "end", at_most(9)) == TEXT


def test_a_question_before_a_quote_stays() -> None:
    text = "What is it?\n\n" + TEXT
    assert shortened(text, "start", at_most(5), fixed=13) == "What is it?\n\none two"
    assert shortened(text, "end", at_most(5), fixed=13) == "What is it?\n\nfour five"
    assert shortened(text, "end", at_most(2), fixed=13) == ""


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80), st.sampled_from(["start", "end"]), st.integers(0, 80))
def test_as_much_as_fits_is_kept(text: str, keep: Part, limit: int) -> None:
    kept = shortened(text, keep, lambda part: len(part) <= limit)
    assert len(kept) <= limit
    slow = next(
        part
        for n in range(len(text), -1, -1)
        if len(part := (text[:n].rstrip() if keep == "start" else text[len(text) - n :].lstrip()))
        <= limit
    )
    assert kept == slow


@pytest.mark.parametrize("keep", ["start", "end"])
def test_a_megabyte_is_measured_a_few_times_only(keep: Part) -> None:
    measured = []

    def fits(text: str) -> bool:
        measured.append(len(text))
        return len(text) <= 1000

    assert len(shortened("word " * 200_000, keep, fits)) > 990
    assert len(measured) < 30
