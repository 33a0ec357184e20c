"""Reading one message: MIME, character sets, damage, and what is no mail at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant.plugin_api import BadInputError, ExitCode
from plugins.email_spam.mail import Attachment, Link
from plugins.email_spam.reading import (
    MAX_BODY,
    MAX_CONTAINERS,
    MAX_PARTS,
    read_message,
    read_pasted,
    split_address,
)

HEAD = b"From: Ana <ana@sol.example>\nSubject: Tea\n"


def test_phishing_is_read_as_a_person_sees_it(samples: Path) -> None:
    mail = read_message((samples / "phishing_html.eml").read_bytes())
    assert mail.sender_name == "Nordpost Parcel Desk"
    assert mail.sender_domain == "parcel-redelivery.example"
    assert mail.reply_to == "desk@collect-fee.example"
    assert mail.subject == "Your parcel is waiting – action required"
    assert "Pay the small handling fee of 1.95" in mail.body
    assert "cannot show this message" not in mail.body  # the other alternative
    assert "garden" not in mail.body
    assert "garden" in mail.hidden
    assert mail.links == (
        Link("https://nordpost.example/track", "https://collect-fee.example/pay/NP-88120347"),
    )
    assert mail.images == 1


def test_encodings_and_character_sets_are_undone(samples: Path) -> None:
    mail = read_message((samples / "charsets.eml").read_bytes())
    assert mail.sender_name == "Jürgen Møller"
    assert mail.subject == "Grüße aus München"
    assert mail.body == "Schöne Grüße, das Fest kostet 5 ¤ für alle.\n\nBis bald, Jürgen"
    assert mail.notes == ()


def test_attachments_are_listed_and_not_opened(samples: Path) -> None:
    mail = read_message((samples / "receipt.eml").read_bytes())
    assert mail.attachments == (Attachment("receipt.pdf", "application/pdf", 24),)
    assert "2 sourdough loaves 9.00\n1 flat white 5.60" in mail.body


def test_a_broken_message_is_read_as_far_as_it_goes(samples: Path) -> None:
    mail = read_message((samples / "malformed.eml").read_bytes())
    assert mail.sender_address == "a@b.example"
    assert "readable text" in mail.body
    assert any("base64" in note for note in mail.notes)
    assert not any(ord(c) < 32 and c != "\n" for c in mail.body + mail.subject)


@pytest.mark.parametrize(
    ("charset", "encoded", "text"),
    [
        ("utf-8", "naïve".encode(), "naïve"),
        ("koi8-r", "привет".encode("koi8-r"), "привет"),
        ("iso-2022-jp", "こんにちは".encode("iso2022_jp"), "こんにちは"),
        ("gb18030", "你好".encode("gb18030"), "你好"),
        ("utf-16", "hello".encode("utf-16"), "hello"),
        ("us-ascii", "smart ’ quote".encode("cp1252"), "smart ’ quote"),
        ("us-ascii", "naïve".encode(), "naïve"),
        ("utf-8", "naïve".encode("latin-1"), "naïve"),
        ("no-such-set", "naïve".encode(), "naïve"),
        ("rot13", b"plain", "plain"),
        ("zlib", b"plain", "plain"),
        ("punycode", b"plain-", "plain-"),
        ("unicode_escape", b"a\\x41", "a\\x41"),
    ],
)
def test_text_is_decoded_whatever_the_declared_set(charset: str, encoded: bytes, text: str) -> None:
    raw = HEAD + f"Content-Type: text/plain; charset={charset}\n\n".encode() + encoded
    assert read_message(raw).body == text


def test_a_character_set_that_had_to_be_guessed_is_noted() -> None:
    raw = HEAD + b"Content-Type: text/plain; charset=no-such-set\n\nhello"
    assert "no-such-set" in read_message(raw).notes[0]


@pytest.mark.parametrize(
    "raw",
    [
        HEAD.replace(b"\n", b"\r\n") + b"\r\nhi",
        HEAD.replace(b"\n", b"\r") + b"\rhi",
        b"\xef\xbb\xbf" + HEAD + b"\nhi",
        b"\n\n" + HEAD + b"\nhi",
        b"From ana@sol.example Fri Aug 23 21:48:01 2024\n" + HEAD + b"\nhi",
        HEAD + b"\nh\0i",
    ],
)
def test_line_ends_marks_and_envelopes_do_not_matter(raw: bytes) -> None:
    mail = read_message(raw)
    assert (mail.sender_address, mail.subject, mail.body) == ("ana@sol.example", "Tea", "hi")


def test_headers_alone_make_a_mail_without_body() -> None:
    assert read_message(HEAD).body == ""


def test_an_unclosed_or_missing_boundary_still_gives_the_text() -> None:
    kind = b"Content-Type: multipart/mixed; boundary=x\n\n"
    assert read_message(HEAD + kind + b"--x\n\nopen end").body == "open end"
    assert "never parted" in read_message(HEAD + kind + b"never parted").body


def test_parameters_that_the_library_trips_over_still_give_the_text() -> None:
    kind = b"Content-Type: multipart/mixed; boundary*=a\0b''x\n\n--x\n\nreadable"
    mail = read_message(HEAD + kind)
    assert mail.subject == "Tea"
    assert "readable" in mail.body
    assert "damaged" in mail.notes[0]


def test_a_forwarded_message_inside_is_read() -> None:
    raw = HEAD + b"Content-Type: message/rfc822\n\nFrom: b@c.example\nSubject: x\n\ninner text"
    assert read_message(raw).body == "inner text"


@pytest.mark.parametrize("kind", ["multipart", "rfc822"])
def test_endless_nesting_is_cut_off_and_said(kind: str) -> None:
    if kind == "rfc822":
        raw = HEAD + b"Content-Type: message/rfc822\n\n" * 20_000 + b"deep"
    else:
        raw = HEAD + b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
            for n in range(20_000)
        )
    assert str(MAX_CONTAINERS) in read_message(raw).notes[0]


def test_too_many_parts_are_cut_off_and_said() -> None:
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 2000
    assert str(MAX_PARTS) in read_message(raw).notes[0]


def test_of_a_huge_body_head_and_tail_are_read() -> None:
    mail = read_message(HEAD + b"\nstart " + b"filler " * 100_000 + b"finish")
    assert len(mail.body) <= MAX_BODY + 1
    assert mail.body.startswith("start")
    assert mail.body.endswith("finish")
    assert "head and tail" in mail.notes[0]


def test_parameter_bombs_in_headers_cost_no_more_than_their_limit() -> None:
    raw = HEAD + b"Content-Type: text/plain; " + b'a="' + b";" * 1_000_000 + b"\n\nhi"
    assert read_message(raw).body == "hi"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n \r\n",
        b"\0\0\0",
        b"\x89PNG\r\n\x1a\n123",
        b"\x7fELF\x02\x01",
        b"PK\x03\x04zip",
        b"just a line of text",
        b"def f():\n    return 1\n",
        b"key: value\nother: thing\n",
    ],
)
def test_what_is_no_mail_is_refused_with_a_hint(raw: bytes) -> None:
    with pytest.raises(BadInputError) as caught:
        read_message(raw, "thing.bin")
    assert "thing.bin" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_control_characters_never_leave_the_reader() -> None:
    raw = (
        b"From: \x1b[31mA <a@b.example>\nSubject: =?utf-8?q?=1B]0;owned=07hi=C2=9B?=\n"
        b'Content-Type: application/x; name="a\x1b[2Jb.exe"\n\nxx'
    )
    mail = read_message(raw)
    shown = mail.sender_name + mail.subject + mail.attachments[0].name
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ("Ana <a@b.example>", "Ana", "a@b.example"),
        ('"Sol, Ana" <a@b.example>', "Sol, Ana", "a@b.example"),
        ("a@b.example", "", "a@b.example"),
        ("a@b.example (Ana Sol)", "Ana Sol", "a@b.example"),
        ("One <a@b.example>, Two <c@d.example>", "One", "a@b.example"),
        ("pay@bank.example <x@evil.example>", "pay@bank.example", "x@evil.example"),
        ("Nobody", "Nobody", ""),
        ("", "", ""),
    ],
)
def test_a_sender_is_split_into_name_and_address(value: str, name: str, address: str) -> None:
    assert split_address(value) == (name, address)


def test_pasted_text_may_be_a_body_alone() -> None:
    mail = read_pasted("Dear customer,\npay at https://pay.example/now.")
    assert mail.sender_address == ""
    assert mail.links == (Link("https://pay.example/now", "https://pay.example/now"),)


def test_pasted_headers_are_read_even_without_a_blank_line() -> None:
    mail = read_pasted("From: A <a@b.example>\nSent: Monday\nSubject: S\nHello: there\nBye")
    assert (mail.sender_address, mail.subject) == ("a@b.example", "S")
    assert mail.body == "Hello: there\nBye"


def test_a_forwarded_paste_is_judged_by_the_message_inside() -> None:
    mail = read_pasted(
        "Is this real?\n\n---------- Forwarded message ---------\n"
        "From: *Prize Office* <win@prize.example>\nDate: Mon\nSubject: You won\n"
        "To: <me@home.example>\n\nSend the fee."
    )
    assert (mail.sender_address, mail.subject) == ("win@prize.example", "You won")
    assert mail.body == "Send the fee."
    assert "forwarded" in mail.notes[0]


def test_a_quoted_paste_loses_its_marks() -> None:
    mail = read_pasted("> From: A <a@b.example>\n> Subject: S\n>\n> Hello\n> there")
    assert (mail.subject, mail.body) == ("S", "Hello\nthere")


def test_empty_paste_is_refused() -> None:
    with pytest.raises(BadInputError):
        read_pasted(" \n\0 ")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
@example(HEAD + b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n\xff#!!!\nend")
@example(HEAD + b'Content-Type: text/plain; charset="a\0b"\n\nhi')
@example(HEAD + b"Content-Type: text/html; charset*=a'b'%\n\n<a")
def test_no_bytes_raise_anything_but_bad_input(raw: bytes) -> None:
    for message in (raw, HEAD + raw, HEAD + b"\n" + raw, b"Content-Type: " + raw):
        try:
            read_message(message)
        except BadInputError:
            continue


_LINES = st.sampled_from(
    [
        b"--b\n",
        b"--b--\n",
        b"\n",
        b"From: \xff=?x?q?=?= <a@b>\n",
        b"Subject: =?utf-8?b?/w=?=\n",
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: text/html; charset=utf-7\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: uuencode\n",
        b"Content-Disposition: attachment; filename*=utf-8''%ff\n",
        b" folded=\xe9\n",
        b"<a href=http://x.example hidden>\xc3\n",
        b"AAA=\r",
        b"begin 644 x\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_LINES, max_size=20))
def test_no_mix_of_mime_raises_anything_but_bad_input(lines: list[bytes]) -> None:
    mail = read_message(b"From: a@b.example\n" + b"".join(lines))
    assert isinstance(mail.body, str)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_no_pasted_text_raises_anything_but_bad_input(text: str) -> None:
    for pasted in (text, "From: a@b.example\nSubject: " + text):
        try:
            read_pasted(pasted)
        except BadInputError:
            continue
