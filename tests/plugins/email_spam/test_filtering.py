"""The delivery filter: one header more, every other byte as it came."""

from __future__ import annotations

import email
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.email_spam.filtering import filtered
from tests.support.words import WordClassifier

LETTER = b"From: Ana <a@b.example>\nSubject: Tea\n\nShall we have tea on Friday?\n"
LINE = b"X-Frontdesk-Spam: no, score=0.05, model=email-spam"


def test_the_header_comes_first_and_the_rest_is_untouched() -> None:
    assert filtered(LETTER, WordClassifier()) == LINE + b"\n" + LETTER


@pytest.mark.parametrize("name", ["phishing_html", "charsets", "malformed", "receipt"])
def test_sample_mail_keeps_every_byte(samples: Path, name: str) -> None:
    raw = (samples / f"{name}.eml").read_bytes()
    output = filtered(raw, WordClassifier())
    assert output.endswith(raw)
    assert output.startswith(b"X-Frontdesk-Spam: ")


def test_line_ends_are_those_of_the_message() -> None:
    raw = LETTER.replace(b"\n", b"\r\n")
    assert filtered(raw, WordClassifier()) == LINE + b"\r\n" + raw


def test_the_envelope_line_stays_first() -> None:
    envelope = b"From a@b.example Fri Aug 23 21:48:01 2024\n"
    assert filtered(envelope + LETTER, WordClassifier()) == envelope + LINE + b"\n" + LETTER


@pytest.mark.parametrize(
    "forged",
    [
        b"X-Frontdesk-Spam: no, score=0.00\n",
        b"x-frontdesk-SPAM : no\n",
        b"X-Frontdesk-Spam:\n no,\n\tscore=0\n",
        b"X-Frontdesk-Spam: no\nX-Frontdesk-Spam: no\n",
    ],
)
def test_headers_of_that_name_from_outside_are_removed(forged: bytes) -> None:
    for raw in (forged + LETTER, LETTER.replace(b"\n\n", b"\n" + forged + b"\n", 1)):
        assert filtered(raw, WordClassifier()) == LINE + b"\n" + LETTER


def test_such_lines_in_the_body_stay() -> None:
    raw = LETTER + b"X-Frontdesk-Spam: quoted\n"
    assert filtered(raw, WordClassifier()).endswith(raw)


def test_other_headers_that_begin_alike_stay() -> None:
    raw = b"X-Frontdesk-Spam-Note: kept\n" + LETTER
    assert filtered(raw, WordClassifier()) == LINE + b"\n" + raw


def test_a_hostile_model_name_cannot_add_headers() -> None:
    output = filtered(LETTER, WordClassifier(name="x\r\nBcc: all@b.example"))
    assert output.count(b"\n") == LETTER.count(b"\n") + 1
    assert b"Bcc:" not in output


def test_headers_alone_are_filtered_too() -> None:
    raw = b"From: a@b.example\nSubject: s\nX-Frontdesk-Spam: no"
    parsed = email.message_from_bytes(filtered(raw, WordClassifier()))
    assert parsed["X-Frontdesk-Spam"].startswith("unsure")
    assert len(parsed.get_all("X-Frontdesk-Spam", [])) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_body_comes_out_as_it_went_in(body: bytes) -> None:
    raw = b"From: a@b.example\nSubject: s\n\n" + body
    assert filtered(raw, WordClassifier()).endswith(raw)
