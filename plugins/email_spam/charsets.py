"""Bytes to text when the declared character set may be missing, unknown or a lie."""

from __future__ import annotations

import base64
import binascii
import codecs
import re

# Codecs that Python offers but no mail may choose: not character sets, or slow on hostile input.
_REFUSED = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{1,39}\Z")
# RFC 2047, with the leniency of mail in the wild: spaces inside the text of Q words.
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\r\n]*)\?=")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def known_charset(name: str) -> str | None:
    """Return Python's name of a declared character set, None if it is none that mail uses.

    ISO-8859-1 and ASCII are read as Windows-1252, as browsers do
    (https://encoding.spec.whatwg.org/#names-and-labels).
    """
    name = name.strip(" \"'").partition("*")[0]  # RFC 2231 appends a language: utf-8*en
    if not _NAME.match(name) or ".." in name:
        return None
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError, UnicodeError):
        return None
    if found.replace("-", "_") in _REFUSED:
        return None
    return "cp1252" if found in {"iso8859-1", "ascii"} else found


def decode(raw: bytes, declared: str = "") -> tuple[str, str]:
    """Decode a body part.

    Returns:
        the text, and a note in plain words where the declaration had to be overruled (or "").
    """
    for mark, marked in _BOMS:
        if raw.startswith(mark):
            return raw.decode(marked, "replace"), ""
    charset = known_charset(declared) if declared else None
    for candidate in (charset, "utf-8"):
        # Plain ASCII and UTF-8 are tried under cp1252's name too: valid multi-byte UTF-8 is
        # hardly ever meant as Western European text.
        if candidate is None:
            continue
        attempt = "utf-8" if candidate == "cp1252" else candidate
        try:
            return raw.decode(attempt), _note(declared, charset)
        except (LookupError, ValueError, UnicodeError):
            continue
    note = "" if charset == "cp1252" else _note(declared, None)
    return raw.decode("cp1252", "replace"), note


def _note(declared: str, charset: str | None) -> str:
    if not declared or charset is not None:
        return ""
    return f"The character set {declared[:40]!a} is unknown or wrong; the text was guessed"


def decode_header(value: str, limit: int = 4000) -> str:
    """Return a header's value as text: encoded words (RFC 2047) decoded, folds joined.

    ``value`` may hold raw bytes as surrogate escapes, the way ``email`` keeps them.
    """
    value = value[:limit]
    if not value.isascii():
        value = decode(value.encode("utf-8", "surrogateescape"))[0]
    value = value.replace("\r", "").replace("\n", "")
    if "=?" not in value:
        return value.strip()
    pieces: list[str] = []
    pending, pending_charset, end = b"", "", 0
    for match in _ENCODED_WORD.finditer(value):
        between = value[end : match.start()]
        raw = _word_bytes(match[2], match[3])
        # White space between two encoded words is not shown; a character may be split over them.
        if pending_charset and not between.strip() and match[1].lower() == pending_charset:
            pending += raw
        else:
            pieces.append(decode(pending, pending_charset)[0])
            if not (pending_charset and not between.strip()):
                pieces.append(between)
            pending, pending_charset = raw, match[1].lower()
        end = match.end()
    pieces += [decode(pending, pending_charset)[0], value[end:]]
    return "".join(pieces).strip()


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("ascii", "ignore")
    if encoding in "qQ":
        return binascii.a2b_qp(raw, header=True)
    try:
        return base64.b64decode(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return raw
