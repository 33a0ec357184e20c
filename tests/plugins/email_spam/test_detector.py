"""Is this paste an e-mail? Mail is offered a check, everything else is left in peace."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.email_spam.detector import email_confidence

MAIL = [
    "From: Ana <ana@sol.example>\nTo: you@home.example\nSubject: Tea\n\nShall we?",
    "From: Ana Sol\nSent: Monday, 6 October 2025 10:00\nTo: You\nSubject: Tea\n\nShall we?",
    "Return-Path: <a@b.example>\nReceived: from x by y; Mon, 6 Oct 2025\n"
    "From: a@b.example\nSubject: s\n\nhi",
    "can you look at this?\n\n---------- Forwarded message ---------\n"
    "From: Prize <win@prize.example>\nDate: Mon\nSubject: You won\nTo: me\n\nSend money",
    "Begin forwarded message:\n\nFrom: Prize <win@prize.example>\nSubject: You won\n\nSend money",
    "> From: Ana <ana@sol.example>\n> Subject: Tea\n>\n> Shall we?",
    "Dear customer,\n\nyour parcel waits.\n\nClick here: https://pay.example/x\n\n"
    "To unsubscribe write to us.",
    "Dear valued customer,\n\nwe noticed a problem. Verify your account:\n\n"
    "https://bank.example/verify\n\nKind regards,\nSecurity Team",
    "Hi Jo,\n\nyes, Friday.\n\nOn Mon, 6 Oct 2025 at 10:00, Jo Lind <jo@lind.example> wrote:\n"
    "> Friday or Saturday?\n> Jo",
]
OTHER = [
    "",
    "   \n",
    "How do I stop spam mails from From: headers I don't know?",
    "My mail from the bank says: verify your account. Is that spam?",
    'Hello,\n\nI can\'t sign in since Monday. I clicked "forgot password" twice.\n\nThanks,\nJo',
    "Hi there\nmy printer prints blank pages, what can I do?\nthanks",
    "Write a polite e-mail to my landlord about the heating.",
    "from email.message import EmailMessage\n\nmsg = EmailMessage()\nmsg['From'] = 'a@b.example'\n",
    'Traceback (most recent call last):\n  File "mail.py", line 3, in <module>\n'
    "    send(to=x)\nValueError: Subject: missing",
    "2025-10-06 10:00:01 INFO smtp From: a@b.example To: c@d.example\n2025-10-06 10:00:02 INFO ok",
    "Oct  6 10:00:01 host postfix/smtpd: connect from mail.example\n"
    "Oct  6 10:00:02 host postfix: from=<a@b.example>, size=2412",
    "on:\n  push:\n    branches: [main]\njobs:\n  test:\n    runs-on: ubuntu-latest\n",
    "name: notify\nfrom: bot@ci.example\nto: team@ci.example\nsubject: Build failed\n",
    "GET / HTTP/1.1\nHost: a.example\nDate: Mon, 06 Oct 2025 08:14:00 GMT\nContent-Type: text/html",
    "commit 1234567\nAuthor: Ana Sol <ana@sol.example>\nDate:   Mon Oct 6 10:00:00 2025\n\n    Fix",
    "Subject: the grammar term for who acts in a sentence. What is the object?",
    '{"from": "a@b.example", "subject": "x", "body": "Dear customer, unsubscribe"}',
    "Title: A novel\nDate: 1851\nLanguage: English\n\nCall me Ishmael.",
    "SELECT sender, subject FROM mail WHERE sender LIKE '%@b.example';",
]


@pytest.mark.parametrize("text", MAIL)
def test_mail_is_recognised(text: str) -> None:
    assert email_confidence(text) >= 0.5


@pytest.mark.parametrize("text", OTHER)
def test_everything_else_is_not(text: str) -> None:
    assert email_confidence(text) < 0.5


def test_every_sample_message_is_recognised_when_pasted(samples: Path) -> None:
    for path in samples.glob("*.eml"):
        assert email_confidence(path.read_text("utf-8", "replace")) >= 0.5, path.name


def test_the_projects_own_code_is_not_mail() -> None:
    root = Path(__file__).parents[3]
    for path in [*root.glob("plugins/**/*.py"), *root.glob("assistant/*.py")]:
        assert email_confidence(path.read_text("utf-8")) < 0.5, path.name
