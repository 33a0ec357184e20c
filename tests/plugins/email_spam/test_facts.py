"""Facts a person can check: found where they are, not found where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.email_spam.facts import facts, sentences, unwrap
from plugins.email_spam.links import defang, defang_host, host_of, organisational_domain, shown_host
from plugins.email_spam.mail import Attachment, Link, Mail
from plugins.email_spam.reading import read_message


def said(mail: Mail) -> str:
    return "\n".join(evidence.text for evidence in facts(mail))


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        (
            Mail(sender_address="a@shop.example", reply_to="b@other.example"),
            "An answer would go to other[.]example, not to the sender's shop[.]example",
        ),
        (
            Mail(links=(Link("www.bank.example/login", "https://evil.example/x"),)),
            "A link shows www[.]bank[.]example but leads to evil[.]example",
        ),
        (
            Mail(links=(Link("bank.example", "https://bank.example@evil.example/"),)),
            "leads to evil[.]example",
        ),
        (
            Mail(sender_name="PayPal Support", sender_address="x@secure-login.example"),
            'calls itself "PayPal Support" but writes from secure-login[.]example',
        ),
        (
            Mail(sender_name="pay@bank.example", sender_address="x@evil.example"),
            "shows an address of bank[.]example",
        ),
        (Mail(sender_address="a@xn--pypal-4ve.example"), "foreign letters"),
        (Mail(sender_address="a@paypa1.example"), "imitates the name paypal"),
        (Mail(sender_address="a@rnicrosoft.example"), "imitates the name microsoft"),
        (Mail(links=(Link("x", "http://192.0.2.7/pay"),)), "bare number, 192[.]0[.]2[.]7"),
        (Mail(links=(Link("x", "javascript:steal()"),)), "runs a script"),
        (
            Mail(sender_address="a@one.example", links=(Link("x", "https://two.example"),)),
            "Its links lead to two[.]example",
        ),
        (Mail(body="Please confirm your card details now."), "access data"),
        (Mail(body="Your mailbox has been suspended."), "presses for speed"),
        (Mail(body="Buy three gift cards and send the codes."), "payment"),
        (Mail(hidden="word " * 20), "characters of text that is not shown"),
        (Mail(attachments=(Attachment("invoice.pdf.EXE", "x/y", 1),)), "can run a program"),
        (Mail(attachments=(Attachment("invoice.html", "x/y", 1),)), "is a web page"),
    ],
)
def test_a_fact_is_said_in_plain_words(mail: Mail, words: str) -> None:
    assert words in said(mail)


@pytest.mark.parametrize(
    "mail",
    [
        Mail(sender_address="a@mail.shop.co.uk", reply_to="b@shop.co.uk"),
        Mail(sender_name="PayPal", sender_address="service@paypal.com"),
        Mail(sender_name="Royal Mail", sender_address="x@royalmail.com"),
        Mail(sender_name="Ana Appleton", sender_address="a@b.example"),
        Mail(links=(Link("Click here", "https://a.example"),)),
        Mail(links=(Link("report.pdf v2", "https://a.example"),)),
        Mail(sender_address="a@shop.example", links=(Link("x", "https://www.shop.example/a"),)),
        Mail(
            body="Never share your password with anyone. We will not ask you to confirm your PIN."
        ),
        Mail(attachments=(Attachment("holiday.jpg", "image/jpeg", 1),)),
        Mail(hidden="short preview"),
    ],
)
def test_innocent_mail_has_no_such_facts(mail: Mail) -> None:
    assert said(mail) == ""


def test_sample_mail_gives_facts_only_where_there_are_any(samples: Path) -> None:
    assert facts(read_message((samples / "personal.eml").read_bytes())) == []
    assert facts(read_message((samples / "receipt.eml").read_bytes())) == []
    assert len(facts(read_message((samples / "phishing_html.eml").read_bytes()))) >= 5


def test_facts_weigh_nothing_and_carry_no_working_link(samples: Path) -> None:
    found = facts(read_message((samples / "phishing_html.eml").read_bytes()))
    assert all(evidence.weight is None for evidence in found)
    assert not any("https://" in e.text + e.quote or "t.example/" in e.text for e in found)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User:pw@Host.Example:443/x", "host.example"),
        ("https://a.example\\@evil.example/", "a.example"),
        ("http:/a.example/x", "a.example"),
        ("//a.example/x", "a.example"),
        ("www.a.example?x", "www.a.example"),
        ("mailto:x@a.example?subject=b@c", "a.example"),
        ("https://[2001:db8::1]:80/x", "[2001:db8::1]"),
        ("", ""),
    ],
)
def test_the_host_of_a_link_is_where_it_leads(url: str, host: str) -> None:
    assert host_of(url) == host


def test_a_sentence_that_was_wrapped_is_one_sentence() -> None:
    text = (
        "Dear customer\nwe noticed an odd sign-in to your account. Confirm your password within\n"
        "24 hours or your account will be suspended.\n\nA list of things to bring along, line one\n"
        "Bread\nsalad"
    )
    assert sentences(text) == [
        "Dear customer",
        "we noticed an odd sign-in to your account.",
        "Confirm your password within 24 hours or your account will be suspended.",
        "A list of things to bring along, line one",
        "Bread",
        "salad",
    ]
    assert "".join(unwrap(text).split()) == "".join(text.split())


def test_helpers_compare_and_defuse_hosts() -> None:
    assert organisational_domain("a.b.shop.co.uk") == "shop.co.uk"
    assert organisational_domain("www.shop.example") == "shop.example"
    assert shown_host("Read more") == ""
    assert defang_host("a.example/http://b") == "a[.]example?http:??b"
    assert defang("see https://a.b.example/x.html now") == "see hxxps://a[.]b[.]example/x.html now"
