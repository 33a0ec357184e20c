"""Notes are cut into sentences and runs of them, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assistant.handbook.sentences import runs, sentences


@given(st.text(max_size=400), st.integers(1, 20))
def test_sentences_and_runs_are_the_text_in_order(text: str, words: int) -> None:
    parts = sentences(text)
    assert " ".join(parts).split() == text.split()
    assert all(parts)
    assert [part for run in runs(parts, words) for part in run] == parts


@given(st.lists(st.sampled_from(["1.", "2.", "12)", "Stop.", "go", "A: 1.", "€5.", "Fee 3."])))
def test_numbers_of_steps_are_kept(words: list[str]) -> None:
    assert " ".join(sentences(" ".join(words))).split() == " ".join(words).split()


def test_numbered_steps_stay_together() -> None:
    text = "Keep calm. 1. Close the tap. 2. Pull the plug. 3. Call 0555 0147. Repairs are free."
    assert sentences(text) == [
        "Keep calm.",
        "1. Close the tap. 2. Pull the plug. 3. Call 0555 0147.",
        "Repairs are free.",
    ]
    assert sentences("Do this: 1. Stop. 2. Wait.") == ["Do this: 1. Stop. 2. Wait."]


def test_a_number_that_ends_a_sentence_is_no_step() -> None:
    text = "A child pays 12. Adults pay 20."
    assert sentences(text) == ["A child pays 12.", "Adults pay 20."]


def test_runs_end_where_sentences_do_and_are_of_even_length() -> None:
    text = " ".join(f"This is the sentence number {n}." for n in range(20))
    found = runs(sentences(text), 50)
    assert len(found) == 3
    lengths = [len(" ".join(run).split()) for run in found]
    assert max(lengths) - min(lengths) <= 6
    assert max(lengths) <= 50 + 6
    assert all(run[-1].endswith(".") for run in found)
