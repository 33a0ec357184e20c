"""The pipe for mail delivery: one message in, the same message out with one header more."""

from __future__ import annotations

import re

from assistant.plugin_api import Classifier
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.checking import ruled, verdict
from plugins.email_spam.reading import read_message
from plugins.email_spam.rules import SenderRules

HEADER = b"X-Frontdesk-Spam"
_WORDS = {"spam": "yes", "ham": "no", "unsure": "unsure"}
# A header of ours from outside, with its folded lines: it would be taken for our word.
_FORGED = re.compile(rb"^x-frontdesk-spam[ \t]*:.*?(?:\r\n|\r|\n|\Z)(?![ \t])", re.I | re.M | re.S)
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\n\r\n|\r\r")
_ENVELOPE = re.compile(rb"(?:From |>From )[^\r\n]*(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


def filtered(raw: bytes, classifier: Classifier, rules: SenderRules | None = None) -> bytes:
    """Return a message with ``X-Frontdesk-Spam: yes|no|unsure, score=0.97, model=NAME`` on top.

    Every other byte stays as it is; headers of that name from outside are taken out. A sender
    rule decides the word, the score stays the model's, and ``rule=allow|block`` follows it.

    Raises:
        BadInputError: the input is no mail.
    """
    mail = read_message(raw, "The message")
    probability = classifier.score([canonical_text(mail)])[0].probability
    rule = rules.match(mail) if rules else None
    word = _WORDS[ruled(rule) or verdict(mail, probability, classifier)]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", classifier.name)[:60]
    value = f": {word}, score={min(max(probability, 0.0), 1.0):.2f}, model={name}"
    value += f", rule={rule.action}" if rule else ""
    envelope = _ENVELOPE.match(raw)
    start = envelope.end() if envelope else 0
    head_end = _HEAD_END.search(raw, start)
    end = head_end.start() + len(head_end[0]) // 2 if head_end else len(raw)
    line_end = _LINE_END.search(raw)
    ending = line_end[0] if line_end else b"\n"
    head = _FORGED.sub(b"", raw[start:end])
    return raw[:start] + HEADER + value.encode("ascii") + ending + head + raw[end:]
