"""What an answer may not say unless it was given, told token by token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.conversation import HandbookEntry, handbook_question, own_words
from assistant.engine.given_facts import GivenFacts, InventionGuard
from training.evaluation.behaviour import invented

GIVEN = (
    "I paid €14.50 on 3 May and 20 dollars more. Call 0555 0147 or +49 30 1234567, write to "
    "help@shop.example, see https://shop.example/returns."
)


def _says(text: str, known: str = GIVEN, size: int = 3) -> str:
    """Say a text in pieces; return what came of it before a piece was refused."""
    data = text.encode()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    guard = InventionGuard(GivenFacts([known]), lambda token: pieces[token])
    said = b""
    for number, piece in enumerate(pieces):
        if not guard.allows(number):
            return said.decode("utf-8", "replace")
        guard.said(number)
        said += piece
    return said.decode("utf-8", "replace")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "text",
    [
        "You paid €14.50, so ask for €14.50 back.",
        "The 20 dollars are a second charge.",
        "Call 0555 0147 today, or +49 30 1234567.",
        "Write to help@shop.example.",
        "Open https://shop.example/returns, then wait.",
        "1. Wait 14 days.\n2. Restart it twice.\n3. Ask again after 48 hours.",
        "Windows 11 needs 64 GB; 192.168.1.1 is the router; error 0x80070057 or 404.",
        "It takes 5 to 10 working days, 24/7, and 2.4 GHz is 50% slower at 16:9.",
        "Look for https in the address bar. Press Ctrl+1.",
    ],
)
def test_what_was_given_and_plain_numbers_may_be_said(text: str, size: int) -> None:
    assert _says(text, size=size) == text


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("It costs €19.99 a month.", "€19"),
        ("It costs €145 a month.", "€145"),
        ("It costs £14.50.", "£"),
        ("You get 25 euros back.", "25 euros"),
        ("Call 0800 123 4567 now.", "123"),
        ("Call +44 20 7946 0000 now.", "44 20"),
        ("Call 5550 0147 now.", "5550 0147"),
        ("Write to support@firm.example now.", "support@firm"),
        ("Open https://firm.example now.", "https://firm"),
        ("Open www.firm.example now.", "www.firm"),
        ("Go to firm.com now.", "firm.com"),
    ],
)
def test_what_nobody_gave_is_never_said(text: str, never: str, size: int) -> None:
    said = _says(text, size=size)
    assert never not in said
    assert not invented(said, GIVEN)


@given(
    st.lists(st.sampled_from([*"0123456789 .-€$@/", "www.", ".com", " euros", "a", "tel "])),
    st.integers(1, 6),
)
def test_whatever_is_said_the_evaluation_finds_nothing_invented(
    parts: list[str], size: int
) -> None:
    data = "".join(parts)
    pieces = [data[start : start + size].encode() for start in range(0, len(data), size)]
    guard = InventionGuard(GivenFacts([GIVEN]), lambda token: pieces[token])
    said = ""
    for number, piece in enumerate(pieces):
        if guard.allows(number):
            guard.said(number)
            said += piece.decode("utf-8", "replace")
    assert not [thing for thing in invented(said, GIVEN) if "@" not in thing and "." not in thing]


def test_a_long_answer_forgets_its_beginning_only() -> None:
    text = "You paid €14.50 for it. " * 40
    assert _says(text) == text
    assert not _says(text + "Another €99 is due.").endswith("€99 is due.")


def test_entries_of_the_handbook_are_not_what_a_person_gave() -> None:
    entry = HandbookEntry("x", "t", "What is due?", "Pay €12.")
    assert own_words(handbook_question("Why €30?", [entry])) == "Why €30?"
    assert own_words("Why €30?") == "Why €30?"
    assert own_words("Handbook: a\n\nQuestion: b") == "Handbook: a\n\nQuestion: b"
