"""The one form of a mail that the model reads, in training and at inference.

It holds what tells spam from good mail anywhere: display name and domain of the sender, where
replies would go, subject, body. It leaves out what tells one mailbox from another (recipients,
dates, transport headers, line breaks, local parts of addresses), and undoes the disguises that
hide a word from a tokenizer but not from a reader.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from assistant.plugin_api import sanitize
from plugins.email_spam.charsets import decode_header
from plugins.email_spam.links import host_of, path_start
from plugins.email_spam.mail import Mail
from plugins.email_spam.reading import MAX_BODY, mail_from_fields
from plugins.email_spam.shapes import find_header_block

FORM = 1
"""Of what is read of a mail; to be raised with it, for results of scans are kept by it."""
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_STACKED_MARKS = re.compile("([\u0300-\u036f]{2})[\u0300-\u036f]+")
# Letters of Cyrillic and Greek that a reader takes for Latin ones (a pick from Unicode's
# confusables, https://www.unicode.org/reports/tr39/).
_LOOKALIKES = str.maketrans(
    "абвгеіїјкмнорсԁԛѕтухһԝєАВЕІЈКМНОРСЅТУХҺ" + "αβγεικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳ",
    "a6breiijkmhopcdqstyxhwеABEIJKMHOPCSTYXH" + "aByeikvoptuxwABEZHIKMNOPTYXcj",
)
_FOREIGN = "\u0370-\u03ff\u0400-\u052f"
_FOREIGN_LETTER = re.compile(f"[{_FOREIGN}]")
_LATIN_LETTER = re.compile("[A-Za-z]")
_WORD = re.compile(r"\w+")
_SPACED_OUT = re.compile(r"(?<![\w'])[A-Za-z]([ ._*~-])[A-Za-z](?:\1[A-Za-z]){2,40}(?![\w'])")
_LEET_WORD = re.compile(
    r"(?<![\w/.=&?@$-])[A-Za-z][A-Za-z013457@$]{3,24}[A-Za-z](?![\w/=&@$-]|\.\w)"
)
_LEET = str.maketrans("013457@$", "oieastas")
_REPEATED = re.compile(r"([-_=*.~#+<>|!?$])\1{3,}")
_URL = re.compile(r"<?(?:(?:https?|ftp)://|www\.)[^\s<>\"'\]\[(){}|\\^`]{2,2000}>?", re.IGNORECASE)
_MAILTO = re.compile(r"<mailto:([^<>\s]{0,300})>", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+%=-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+)")
_TRAILING = ".,;:!?'\"»”’*>"
# Whose addresses say something about the writer; any other domain in a body would rather name
# the reader, and with it the mailbox that a training set was taken from.
_FREEMAIL = frozenset(
    "gmail.com googlemail.com yahoo.com yahoo.co.uk hotmail.com outlook.com live.com "  # noqa: SIM905
    "msn.com aol.com icloud.com proton.me protonmail.com mail.ru yandex.ru yandex.com "
    "gmx.de gmx.net web.de zoho.com mail.com qq.com 163.com".split()
)
_LONGEST_ROW = 12_000  # rows of the corpora hold at most this much HTML


def canonical_text(mail: Mail) -> str:
    """Return what the model reads: From, Reply-To (if another domain), Subject, blank line, body.

    Lines without content are left out. Pure: the same mail gives the same text everywhere.
    """
    known = {mail.sender_domain, mail.reply_to_domain} - {""}
    lines = []
    if mail.sender_name or mail.sender_address:
        name = normalise(mail.sender_name, known)
        domain = f"<{normalise(mail.sender_domain, known)}>" if mail.sender_domain else ""
        lines.append(f"From: {name} {domain}".replace("  ", " ").rstrip())
    if mail.reply_to_domain and mail.reply_to_domain != mail.sender_domain:
        lines.append(f"Reply-To: {normalise(mail.reply_to_domain, known)}")
    if mail.subject:
        lines.append(f"Subject: {normalise(mail.subject, known)}")
    body = normalise(mail.body, known)
    if len(body) < 40 and mail.hidden:  # HTML that hides everything fools us, not the reader
        body = f"{body} {normalise(mail.hidden, known)}".strip()
    return "\n".join(lines) + "\n\n" + body


def normalise(text: str, known_domains: set[str] | None = None) -> str:
    """Return one line of ``text`` with disguises undone, URLs shortened, addresses masked.

    Args:
        known_domains: domains whose addresses keep their domain (the sender's own).
    """
    text = sanitize(text)
    if not text.isascii():
        text = _plain_letters(text)
    if "://" in text or "www." in text.lower():
        text = _URL.sub(_short_url, text)
    if "@" in text:
        text = _MAILTO.sub(lambda match: f"<{match[1].partition('?')[0]}>", text)
        known = known_domains or set()
        text = _ADDRESS.sub(lambda match: _masked(match[1], known), text)
    text = _SPACED_OUT.sub(lambda match: match[0].replace(match[1], ""), text)
    text = _LEET_WORD.sub(_unleet, text)
    text = _REPEATED.sub(r"\1\1\1", text)
    return " ".join(text.split())


def canonical_row(row: dict[str, Any]) -> str:
    """Return the canonical text of a training row, by the same way as a mail at inference.

    Args:
        row: ``{"text": "From: ...\\nSubject: ...\\n\\nbody", "html"?}`` or
            ``{"headers": {...}, "body": ..., "html"?}``. HTML that a corpus cut off is not used.
    """
    return canonical_text(mail_of_row(row))


def mail_of_row(row: dict[str, Any]) -> Mail:
    """Return the mail that a training row holds, see ``canonical_row``."""
    html = str(row.get("html") or "")
    if "headers" in row:
        headers = {str(name).lower(): str(value) for name, value in row["headers"].items()}
        return mail_from_fields(headers, str(row.get("body") or ""), html)
    text = str(row["text"])
    head, _, body = text.partition("\n\n")
    lines = head.split("\n")
    block = find_header_block(lines) if lines[0].startswith(("From:", "Subject:")) else None
    values: dict[str, str] = {}
    if block is not None and block.start == 0:
        values = {name: decode_header(value) for name, value in block.values.items()}
        body = "\n".join(lines[block.end :]) + "\n" + body
    else:
        body = text
    usable = html if len(html) < _LONGEST_ROW else ""
    return mail_from_fields(values, body[:MAX_BODY], usable)


def _plain_letters(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    text = _STACKED_MARKS.sub(r"\1", text)
    if not _FOREIGN_LETTER.search(text):
        return text
    return _WORD.sub(_one_script, text)


def _one_script(match: re.Match[str]) -> str:
    word = match[0]
    if word.isascii() or not (_LATIN_LETTER.search(word) and _FOREIGN_LETTER.search(word)):
        return word
    return word.translate(_LOOKALIKES)


def _short_url(match: re.Match[str]) -> str:
    """Write every URL the same way, whether it stood in plain text or behind an HTML link."""
    url = match[0].strip("<").rstrip(_TRAILING)
    after = match[0].strip("<>")[len(url) :] if not match[0].endswith(">") else ""
    return f" <{host_of(url).removeprefix('www.')}{path_start(url)}>{after}"


def _masked(domain: str, known: set[str]) -> str:
    domain = domain.lower()
    return f"@{domain}" if domain in _FREEMAIL or domain in known else "@mail"


def _unleet(match: re.Match[str]) -> str:
    word = match[0]
    letters = sum(character.isalpha() for character in word)
    return word.translate(_LEET) if 0.6 * len(word) <= letters < len(word) else word
