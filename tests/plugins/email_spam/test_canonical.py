"""The canonical form: the same for training rows and real mail, blind to disguises."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.email_spam.canonical import FORM, canonical_row, canonical_text, normalise
from plugins.email_spam.checking import has_text
from plugins.email_spam.mail import Mail
from plugins.email_spam.reading import read_message

LETTER = Mail(
    sender_name="Parcel Desk",
    sender_address="status@parcel-pay.example",
    reply_to="desk@elsewhere.example",
    subject="Your parcel",
    date="Fri, 02 May 2025 10:44:50 +1000",
    body="Dear customer,\n\nPay here: https://www.parcel-pay.example/track/NP-88?id=1.\nBye",
)


def test_it_holds_sender_domain_reply_domain_subject_and_body_and_nothing_else() -> None:
    assert canonical_text(LETTER) == (
        "From: Parcel Desk <parcel-pay.example>\n"
        "Reply-To: elsewhere.example\n"
        "Subject: Your parcel\n"
        "\n"
        "Dear customer, Pay here: <parcel-pay.example/track>. Bye"
    )


def test_a_change_of_what_is_read_has_a_form_of_its_own(samples: Path) -> None:
    """Raise FORM and write down the new digest: results of scans are kept by the form."""
    digest = hashlib.sha256()
    for path in sorted(samples.glob("*.eml")):
        mail = read_message(path.read_bytes())
        digest.update(f"{canonical_text(mail)} {has_text(mail)} {mail.sender_address}".encode())
    assert (FORM, digest.hexdigest()[:16]) == (1, "29e45da45dd3e659")


def test_a_reply_address_in_the_same_domain_is_left_out() -> None:
    mail = Mail(sender_address="a@one.example", reply_to="b@one.example", body="Hi")
    assert canonical_text(mail) == "From: <one.example>\n\nHi"


def test_training_rows_and_the_mail_they_came_from_give_the_same_text() -> None:
    headers = {
        "From": "Ana Sol <ana@sol.example>",
        "To": "you@home.example",
        "Reply-To": "x@y.example",
        "Subject": "Tea on Friday",
        "Date": "Fri, 02 May 2025 10:44:50 +1000",
    }
    body = "Shall we meet?\n\nSee https://tea.example/menu\nAna"
    raw = "\n".join(f"{name}: {value}" for name, value in headers.items()) + "\n\n" + body
    text = (
        f"From: Ana Sol <ana@sol.example>\nReply-To: x@y.example\nSubject: Tea on Friday\n\n{body}"
    )
    expected = canonical_text(read_message(raw.encode()))
    assert canonical_row({"headers": headers, "body": body, "label": "ham"}) == expected
    assert canonical_row({"text": text, "subject": "Tea on Friday", "label": "ham"}) == expected


def test_html_rows_read_like_html_mail() -> None:
    html = '<p>Hi</p><a href="https://pay.example/now/1">Pay</a>'
    raw = f"From: A <a@b.example>\nSubject: S\nContent-Type: text/html\n\n{html}"
    row = {"headers": {"From": "A <a@b.example>", "Subject": "S"}, "body": "", "html": html}
    assert canonical_row(row) == canonical_text(read_message(raw.encode()))
    assert canonical_row(row).endswith("Hi Pay <pay.example/now>")


def test_html_that_a_corpus_cut_off_is_not_used() -> None:
    row = {"text": "Subject: S\n\nwhole body", "html": "<p>" + "x" * 12_000}
    assert canonical_row(row) == "Subject: S\n\nwhole body"


def test_a_row_without_headers_is_all_body() -> None:
    assert canonical_row({"text": "just words: no headers\nhere"}) == (
        "\n\njust words: no headers here"
    )


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("p\u0430yp\u0430l", "paypal"),  # Cyrillic a
        ("Ap\u03c1le \u0410pple", "Apple Apple"),  # Greek rho looks like p
        ("ver\u200bi\u00adfy", "verify"),
        ("ｖｅｒｉｆｙ", "verify"),
        ("𝐕𝐞𝐫𝐢𝐟𝐲", "Verify"),
        ("V I A G R A now", "VIAGRA now"),
        ("V.I.A.G.R.A", "VIAGRA"),
        ("v1agra and c1alis", "viagra and cialis"),
        ("acc0unt p@yment", "account payment"),
        ("a  \t b\n\n\n\nc", "a b c"),
        ("now!!!!!!!!! -------- ", "now!!! ---"),
        ("e\u0301\u0301\u0301\u0301\u0301", "\u00e9\u0301\u0301"),
        ("a\x1b]0;x\x07b", "a]0;xb"),
    ],
)
def test_disguises_are_undone(disguised: str, plain: str) -> None:
    assert normalise(disguised) == plain


@pytest.mark.parametrize(
    "text",
    [
        "Приве́т, как дела?",
        "Καλημέρα κόσμε",
        "I am a B2B seller of mp3s, sha256 and h264",
        "order NP-88120347, code 482913, QX7T2P",
        "The U.S. and the E.U. met",
        "日本語のメール",
        "Müller & Søn, 14.60 €",
    ],
)
def test_honest_text_is_left_alone(text: str) -> None:
    import unicodedata

    assert normalise(text) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("https://a.example/login/x?y=1", "<a.example/login>"),
        ("HTTP://WWW.A.EXAMPLE", "<a.example>"),
        ("www.a.example/x.", "<a.example/x>."),
        ("https://bank.example@evil.example/", "<evil.example>"),
        ("https://a.example:8443/" + "p" * 90, "<a.example/" + "p" * 24 + ">"),
    ],
)
def test_urls_shrink_to_host_and_start_of_path(url: str, short: str) -> None:
    assert normalise(url) == short


def test_html_links_and_plain_urls_look_the_same() -> None:
    assert normalise("Pay <https://a.example/b/c>") == normalise("Pay https://a.example/b/d")


def test_addresses_in_the_body_lose_their_local_part_and_the_readers_domain() -> None:
    known = {"bank.example"}
    text = "ann@home.example wrote to desk@bank.example and prize@gmail.com"
    assert normalise(text, known) == "@mail wrote to @bank.example and @gmail.com"


def test_hidden_text_is_read_only_when_hardly_any_is_shown() -> None:
    assert "secret" not in canonical_text(Mail(body="Plenty of visible text " * 4, hidden="secret"))
    assert "secret" in canonical_text(Mail(body="Hi", hidden="secret"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_any_mail_has_one_line_of_body_without_control_characters(
    body: str, name: str, subject: str
) -> None:
    text = canonical_text(Mail(sender_name=name, subject=subject, body=body))
    head, _, flat = text.partition("\n\n")
    assert "\n" not in flat
    assert len(head.split("\n")) <= 2
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in text)


def test_disguises_cost_linear_time() -> None:
    for hostile in ("a@", "a@b.", "a1", "a b ", "www.", "<mailto:", "a\u0430", "e\u0301"):
        assert len(normalise(hostile * 50_000)) <= len(hostile) * 100_000
