"""The spam bundle that ships, through the plugin's commands."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.conftest import REPOSITORY

MAIL = REPOSITORY / "tests" / "data"


def check(program, *arguments, stdin=""):
    result = program("spam", "check", "--json", *arguments, stdin=stdin)
    return result, [json.loads(line) for line in result.stdout.splitlines()]


def test_a_modern_phishing_mail_is_spam_and_an_ordinary_one_is_not(program):
    files = [str(MAIL / name) for name in ("phishing_html.eml", "personal.eml")]
    result, (phishing, personal) = check(program, *files)
    assert result.returncode == 0, result.stderr
    assert phishing["verdict"] == "spam"
    assert personal["verdict"] == "ham"
    assert personal["probability"] < phishing["probability"]
    assert phishing["evidence"]
    assert phishing["model"] == "email-spam"


def test_a_receipt_and_a_newsletter_are_not_flagged(program):
    _, verdicts = check(program, *[str(MAIL / f"{name}.eml") for name in ("receipt", "newsletter")])
    assert [v["verdict"] for v in verdicts].count("spam") == 0


def test_a_mailbox_gives_one_object_a_message(program):
    _, verdicts = check(program, str(MAIL / "inbox.mbox"))
    assert len(verdicts) > 1
    assert all(0 <= v["probability"] <= 1 for v in verdicts)


def test_exit_code_tells_spam(program):
    assert program(
        "spam", "check", "--exit-code", str(MAIL / "phishing_html.eml")
    ).returncode == 10  # fmt: skip
    assert program("spam", "check", "--exit-code", str(MAIL / "personal.eml")).returncode == 0


def test_a_file_that_is_no_mail_is_one_clear_line_and_the_others_go_on(program, tmp_path):
    picture = tmp_path / "x.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    result, verdicts = check(program, str(picture), str(MAIL / "personal.eml"))
    assert result.returncode == 3
    assert len(verdicts) == 1
    assert len(result.stderr.strip().splitlines()) <= 2
    assert "x.png" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("text", ["", "\n", "   "])
def test_nothing_is_no_mail(program, text):
    result, verdicts = check(program, "-", stdin=text)
    assert (result.returncode, verdicts) == (3, [])


def test_a_mailbox_is_scanned_remembered_and_reported(program):
    box = str(MAIL / "inbox.mbox")
    first = program("spam", "scan", box, "--json")
    assert first.returncode == 3  # one of its four messages is none
    assert [json.loads(line)["known"] for line in first.stdout.splitlines()] == [False] * 3
    again = program("spam", "scan", box, "--json")
    assert [json.loads(line)["known"] for line in again.stdout.splitlines()] == [True] * 3
    report = json.loads(program("spam", "report", "--json").stdout)
    assert report["spam"] + report["unsure"] + report["ham"] == 3


def test_marking_learns_from_a_mail_or_says_what_the_bundle_lacks(program):
    result = program("spam", "mark", str(MAIL / "personal.eml"), "ham")
    if result.returncode:
        assert result.returncode == 4
        assert "computes no embeddings" in result.stderr
    else:
        assert "1 ham so far" in result.stderr
