"""Allow and block lists: what matches, what wins, and how it is said."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from assistant.plugin_api import BadInputError
from plugins.email_spam.checking import check
from plugins.email_spam.commands import spam
from plugins.email_spam.filtering import filtered
from plugins.email_spam.mail import Mail
from plugins.email_spam.rules import SenderRules, load_rules, parse_pattern
from plugins.email_spam.store import store_exists
from tests.support.words import WordClassifier

SCAM = b"From: Ana <ana@news.shop.example>\nSubject: s\n\nPay the lottery fee for your prize now\n"


@pytest.mark.parametrize(
    ("address", "pattern"),
    [
        ("ana@news.shop.example", "ana@news.shop.example"),
        ("ANA@News.Shop.Example", "ana@news.shop.example"),
        ("bo@news.shop.example", "news.shop.example"),
        ("bo@shop.example", "shop.example"),
        ("bo@a.b.shop.example", "shop.example"),
        ("bo@badshop.example", None),
        ("shop.example@evil.example", None),
        ("", None),
    ],
)
def test_the_most_specific_pattern_wins(address: str, pattern: str | None) -> None:
    rules = SenderRules(
        {"shop.example": "allow", "news.shop.example": "block", "ana@news.shop.example": "allow"}
    )
    found = rules.match(Mail(sender_address=address))
    assert (found.pattern if found else None) == pattern


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (" Ana@Sol.Example ", "ana@sol.example"),
        ("<ana@sol.example>", "ana@sol.example"),
        ("@sol.example", "sol.example"),
        ("sol.example.", "sol.example"),
        ("bücher.example", "bücher.example"),
    ],
)
def test_patterns_are_kept_in_one_form(text: str, pattern: str) -> None:
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize("text", ["", "@", "a b@c.example", "x@", "-.example", "a\x1b[2J", "a/b"])
def test_what_is_neither_address_nor_domain_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_pattern(text)


def test_a_rule_decides_and_is_the_first_reason() -> None:
    mail = Mail(sender_address="a@b.example", body="Pay the lottery fee for your prize now")
    report = check(mail, WordClassifier(), rules=SenderRules({"b.example": "allow"}))
    assert (report.verdict, report.tone) == ("ham", "good")
    assert report.score == pytest.approx(0.95)
    assert report.headline == "You trust this sender (the model alone: 95% likely to be spam)"
    assert report.evidence[0].text.startswith("b[.]example is on your allow list")
    assert "forged" in report.evidence[0].text
    blocked = SenderRules({"b.example": "block"})
    report = check(Mail(sender_address="a@b.example"), WordClassifier(), rules=blocked)
    assert report.verdict == "spam"


def test_the_filter_names_the_rule() -> None:
    output = filtered(SCAM, WordClassifier(), SenderRules({"shop.example": "allow"}))
    assert output.startswith(
        b"X-Frontdesk-Spam: no, score=0.95, model=email-spam, rule=allow\nFrom: "
    )


@pytest.mark.usefixtures("classifier")
def test_lists_are_kept_by_commands_and_honoured_by_check() -> None:
    run = CliRunner()
    assert run.invoke(spam, ["check", "--quiet"], input=SCAM).stdout.startswith("spam")
    assert not store_exists()  # checking alone stores nothing
    assert run.invoke(spam, ["allow", "Shop.example", "x@y.example"]).exit_code == 0
    assert run.invoke(spam, ["allow"]).stdout == "shop.example\nx@y.example\n"
    assert run.invoke(spam, ["check", "--quiet"], input=SCAM).stdout.startswith("ham")
    run.invoke(spam, ["block", "ana@news.shop.example"])
    assert run.invoke(spam, ["check", "--quiet"], input=SCAM).stdout.startswith("spam")
    run.invoke(spam, ["block", "shop.example"])  # changes its mind
    assert load_rules().rules["shop.example"] == "block"
    assert run.invoke(spam, ["allow"]).stdout == "x@y.example\n"
    removed = run.invoke(spam, ["block", "--remove", "shop.example", "other.example"])
    assert "shop.example: removed" in removed.stderr
    assert "other.example: was not on the list" in removed.stderr
    with pytest.raises(BadInputError):
        run.invoke(spam, ["allow", "no one"], catch_exceptions=False)


@pytest.mark.usefixtures("classifier")
def test_thresholds_can_be_set_for_good() -> None:
    run = CliRunner()
    letter = b"From: a@b.example\nSubject: s\n\nthe lottery fee is due\n"  # 0.65: unsure
    assert run.invoke(spam, ["check", "--quiet"], input=letter).stdout.startswith("unsure")
    shown = run.invoke(spam, ["settings", "--threshold", "0.6", "--unsure-from", "0.5"])
    assert "threshold    0.6" in shown.stdout
    assert run.invoke(spam, ["check", "--quiet"], input=letter).stdout.startswith("spam")
    assert run.invoke(spam, ["filter"], input=letter).stdout.startswith("X-Frontdesk-Spam: yes")
    run.invoke(spam, ["settings", "--threshold", "model", "--unsure-from", "0.7"])
    assert run.invoke(spam, ["check", "--quiet"], input=letter).stdout.startswith("ham")
    assert run.invoke(spam, ["settings", "--threshold", "1.5"]).exit_code == 2
