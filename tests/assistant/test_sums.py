"""Sums that the program works out, against Python's own arithmetic, and what is no sum."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.sums import worked_out


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 15% of 80?", "15% of 80 is 12."),
        ("what's 12*37", "12*37 is 444."),
        ("how much is 1,250 divided by 8 ?", "1,250 divided by 8 is 156.25."),
        ("80 + 19%", "80 + 19% is 95.2."),
        ("120 minus 25 percent", "120 minus 25 percent is 90."),
        ("please calculate (3 + 4) * 2^3", "(3 + 4) * 2^3 is 56."),
        ("10 / 3 =", "10 / 3 is about 3.333333."),
        ("what is 20% of €49.90?", "20% of €49.90 is €9.98."),
        ("39.90 and 12 euros", "39.90 and 12 euros is 51.90 euros."),
        ("5 squared plus 2", "5 squared plus 2 is 27."),
        ("3 x 4", "3 x 4 is 12."),
        ("-4 + 4", "-4 + 4 is 0."),
        ("€10 less 10%", "€10 less 10% is €9.00."),
        ("what's 12/4", "12/4 is 3."),
        ("what does 7 times 8 make?", "7 times 8 is 56."),
    ],
)
def test_sums_are_worked_out(question: str, answer: str) -> None:
    assert worked_out(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        "How can I reset my password?",
        "my order 55-1209 is late",
        "error 0x80070005",
        "call me at 555 1234",
        "24/7 support?",  # a division, but of what?
        "12",
        "555-1234",
        "12/03/2025",
        "1/0",
        "2^99999999",
        "9^(9^9)",
        "999999999999 * 999999999999",
        "(" * 199 + "1",
        "1,5 + 2",  # a comma for a point
        "(1 + 2",
        "10 of 20",
        "what is 2 + two",
        "€5 + $5",
        "what is 15% of my bill",
        "1" * 300 + "+1",
        "__import__('os').system('true') + 1",
    ],
)
def test_what_is_no_sum_is_left_to_the_model(question: str) -> None:
    assert worked_out(question) is None


@given(
    a=st.decimals(min_value=-9999, max_value=9999, places=2),
    b=st.decimals(min_value=Decimal("0.01"), max_value=9999, places=2),
    sign=st.sampled_from("+-*"),
)
def test_results_are_exact(a: Decimal, b: Decimal, sign: str) -> None:
    expected = {"+": a + b, "-": a - b, "*": a * b}[sign]
    found = worked_out(f"{a} {sign} {b}")
    assert found is not None
    assert Decimal(found.split(" is ")[1].rstrip(".").replace(",", "")) == expected


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    worked_out(text)
    worked_out(f"1 + {text}")
