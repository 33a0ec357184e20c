"""Bytes or pasted text to a ``Mail``; hostile input costs bounded time and never an exception.

The standard library's parser does the MIME (RFC 5322, RFC 2045). Its modern policy raises on
hostile headers, so the compat32 policy is used and the headers are decoded here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from email.parser import BytesFeedParser, BytesParser
from email.policy import Compat32
from typing import Any

from assistant.plugin_api import BadInputError, sanitize, sanitize_line
from plugins.email_spam.charsets import decode, decode_header
from plugins.email_spam.detector import email_confidence
from plugins.email_spam.html_text import MAX_HTML, read_html
from plugins.email_spam.links import find_urls
from plugins.email_spam.mail import Attachment, Link, Mail
from plugins.email_spam.shapes import HEADER_NAMES, as_mail_text

MAX_BYTES = 32_000_000
MAX_SECONDS = 2.0
MAX_HEADER = 16_000
MAX_CONTAINERS = 100
MAX_PARTS = 500
MAX_BODY = 64_000  # characters kept: three quarters from the head, the rest from the tail
_CHUNK = 16_384
_CONTAINER = re.compile(rb"^content-type:[ \t\r\n]*(?:multipart|message)/", re.I | re.M)
_BINARY = (b"\x7fELF", b"\x89PNG", b"PK\x03\x04", b"%PDF", b"\x1f\x8b", b"\xff\xd8\xff", b"GIF8")
_ADDRESS = re.compile(r"<\s*([^<>\s]*@[^<>]*?)\s*>")
_BARE_ADDRESS = re.compile(r"[^\s<>,;:()\"']{1,100}@[^\s<>,;()\"']{1,200}")
_READ_HEADERS = {"from", "reply-to", "subject", "date"}
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\r\n]")
_HINT = "Give it a message saved as .eml, an mbox file or a Maildir folder"


class _Policy(Compat32):
    """Compat32 with a limit on one header: parameter parsing is quadratic in its length."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name[:200], value[:MAX_HEADER]


_POLICY = _Policy()


def read_message(raw: bytes, source: str = "") -> Mail:
    """Read one message in its transport form (RFC 5322 with MIME).

    Raises:
        BadInputError: ``raw`` is empty, binary, or text without the shape of a mail (the body
            alone of a letter has it).
    """
    name = source or "The input"
    if not raw.strip(b"\0 \t\r\n"):
        raise BadInputError(f"{name} is empty", _HINT)
    head = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(_BINARY):
        raise BadInputError(f"{name} is not an e-mail (it is a binary file)", _HINT)
    if head.startswith(b"From "):
        head = head.partition(b"\n")[2]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode()
    notes: list[str] = []
    message = _parse(head, notes)
    if not any(key.lower() in HEADER_NAMES for key, _ in _items(message)):
        whole = decode(head[: 4 * MAX_BODY])[0]
        text = as_mail_text(whole)
        if text is None and email_confidence(whole) < 0.5:
            raise BadInputError(f"{name} is not an e-mail", _HINT)
        return replace(read_pasted(text or whole), source=source)
    return _mail(message, notes, source)


def read_pasted(text: str, source: str = "pasted text") -> Mail:
    """Read what a person pasted: with headers, a forwarded message, or a body alone.

    Raises:
        BadInputError: the text is empty.
    """
    text = sanitize(text).strip("\n \ufeff")
    if not text:
        raise BadInputError("There is no text to check", "Paste the message, headers included")
    notes: list[str] = []
    shaped = as_mail_text(text)
    if shaped is not None and shaped != text:
        notes.append("Read the forwarded message, not what stands above it")
    message = _parse((shaped or text).encode("utf-8", "replace"), notes)
    names = {key.lower() for key, _ in _items(message)}
    if shaped is not None and names & {"from", "subject"}:
        return _mail(message, notes, source)
    contents = _Contents(notes=notes)
    contents.take_text(text, is_html=_looks_like_html(text))
    return contents.mail({}, source)


def mail_from_fields(headers: dict[str, str], body: str = "", html: str = "") -> Mail:
    """Return the mail that these decoded parts make; HTML is preferred, as readers do.

    Args:
        headers: lower-case names to values.
    """
    contents = _Contents()
    if html.strip():
        contents.take_text(html, is_html=True)
    if not contents.body:
        contents.take_text(body, is_html=False)
    return contents.mail(headers, "")


def _parse(raw: bytes, notes: list[str]) -> Message:
    if len(raw) > MAX_BYTES:
        notes.append(f"Only the first {MAX_BYTES:,} of {len(raw):,} bytes were read")
        raw = raw[:MAX_BYTES]
    for count, container in enumerate(_CONTAINER.finditer(raw)):
        if count == MAX_CONTAINERS:
            notes.append(f"Parts after the {MAX_CONTAINERS}th container were not read")
            raw = raw[: container.start()]
            break
    try:
        return _parse_parts(raw, notes)
    except Exception:
        # The library's parser trips over some parameters, e.g. a NUL in the character set of an
        # encoded boundary. The headers and the text behind them can still be read.
        notes.append("The parts of the message are damaged; it was read as one text")
        return BytesParser(policy=_POLICY).parsebytes(raw, headersonly=True)


def _parse_parts(raw: bytes, notes: list[str]) -> Message:
    parser = BytesFeedParser(policy=_POLICY)
    deadline = time.thread_time() + MAX_SECONDS  # of work, however busy the machine is
    for start in range(0, len(raw), _CHUNK):
        parser.feed(raw[start : start + _CHUNK])
        if time.thread_time() > deadline:
            notes.append(
                f"Reading took too long; {len(raw) - start - _CHUNK:,} bytes were not read"
            )
            break
    return parser.close()


def _items(message: Message) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in message.raw_items()]  # type: ignore[attr-defined]


def _mail(message: Message, notes: list[str], source: str) -> Mail:
    contents = _Contents(notes=notes)
    contents.take_message(message)
    headers: dict[str, str] = {}
    for name, value in _items(message):
        if name.lower() in _READ_HEADERS and name.lower() not in headers:
            headers[name.lower()] = decode_header(value)
    return contents.mail(headers, source)


@dataclass
class _Contents:
    """Collects the readable parts of one message."""

    notes: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    images: int = 0
    html_left: int = MAX_HTML

    def take_message(self, message: Message) -> None:
        parts = _parts(message)
        if len(parts) > MAX_PARTS:
            self.notes.append(f"Only the first {MAX_PARTS} of {len(parts):,} parts were read")
        for part in parts[:MAX_PARTS]:
            self._take_part(part)

    def _take_part(self, part: Message) -> None:
        kind = _guarded(part.get_content_type, "text/plain")
        name = decode_header(str(_guarded(part.get_filename, None) or ""), 300)
        disposition = str(_guarded(part.get_content_disposition, "") or "")
        if kind.startswith("multipart/"):
            # A container without parts: its boundary never came. Read it as the text it is.
            kind = "text/plain"
        if not kind.startswith("text/") or disposition == "attachment" or name:
            if kind.startswith("image/") and disposition != "attachment":
                return  # counted where the HTML shows it
            size = _payload_size(part)
            self.attachments.append(Attachment(sanitize_line(name) or "unnamed", kind[:80], size))
            return
        raw = self._decoded(part)
        declared = str(_guarded(lambda: part.get_param("charset"), "") or "")
        text, note = decode(raw[: 8 * MAX_HTML], declared)
        if note:
            self.notes.append(note)
        self.take_text(text, is_html=kind == "text/html")

    def _decoded(self, part: Message) -> bytes:
        payload = _guarded(part.get_payload, "")
        if _encoding(part) == "base64" and isinstance(payload, str):
            # The decoder skips what is not base64 and makes noise of plain text so labelled.
            foreign = len(_NOT_BASE64.findall(payload[:10_000]))
            if foreign > 0.02 * len(payload[:10_000]):
                self.notes.append("A part is labelled base64 but is not; it was read as it stands")
                return payload.encode("utf-8", "surrogateescape")
        raw = _guarded(lambda: part.get_payload(decode=True), b"")
        return raw if isinstance(raw, bytes) else b""

    def take_text(self, text: str, is_html: bool) -> None:
        if not is_html:
            self.body.append(sanitize(text).strip())
            return
        if self.html_left <= 0:
            self.notes.append("Further HTML parts were not read")
            return
        page = read_html(text)
        self.html_left -= len(text)
        self.body.append(sanitize(page.text))
        self.hidden.append(sanitize(page.hidden))
        self.links += page.links
        self.images += page.images
        self.notes += page.notes

    def mail(self, headers: dict[str, str], source: str) -> Mail:
        name, address = split_address(headers.get("from", ""))
        body = "\n\n".join(piece for piece in self.body if piece)
        if len(body) > MAX_BODY:
            self.notes.append(f"Only {MAX_BODY:,} characters of the text were read, head and tail")
            tail = MAX_BODY // 4
            body = body[: MAX_BODY - tail] + "\n" + body[-tail:]
        links = [replace(link, text=sanitize_line(link.text)) for link in self.links]
        known = {piece for link in links for piece in (link.target, link.text)}
        links += [Link(url, url) for url in find_urls(body) if url not in known]
        return Mail(
            sender_name=sanitize_line(name),
            sender_address=sanitize_line(address),
            reply_to=sanitize_line(split_address(headers.get("reply-to", ""))[1]),
            subject=sanitize_line(headers.get("subject", ""), 1000),
            date=sanitize_line(headers.get("date", ""), 100),
            body=body,
            links=tuple(links),
            attachments=tuple(self.attachments[:100]),
            hidden="\n".join(piece for piece in self.hidden if piece)[:MAX_BODY],
            images=self.images,
            notes=tuple(dict.fromkeys(self.notes)),
            source=source,
        )


def split_address(value: str) -> tuple[str, str]:
    """Split a From value into display name and address; linear, never raises.

    Of several addresses the first one counts. ``email.utils.parseaddr`` is avoided: it refuses
    what the wild sends (unquoted commas and dots in names) and returns nothing then.
    """
    value = value[:2000]
    found = _ADDRESS.search(value)
    if found:
        name, address = value[: found.start()], found[1]
    else:
        found = _BARE_ADDRESS.search(value)
        if not found:
            return _unquoted(value.partition("<")[0]), ""
        address = found[0]
        comment = re.search(r"\(([^()]*)\)", value)  # old form: address (Name)
        name = comment[1] if comment else value[: found.start()]
    return _unquoted(name), address.strip(" \"'[]")


def _unquoted(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name.strip(" \t\"'<"))


def _parts(message: Message) -> list[Message]:
    """Return the leaves a reader sees: of alternatives the HTML one, else the first text."""
    if not message.is_multipart():
        return [message]
    payload: Any = message.get_payload()
    leaves: list[list[Message]] = [_parts(part) for part in payload]
    if _guarded(message.get_content_type, "") == "multipart/alternative":
        return _best_alternative(leaves)
    return [leaf for branch in leaves for leaf in branch]


def _best_alternative(branches: Sequence[list[Message]]) -> list[Message]:
    for wanted in ("text/html", "text/plain"):
        for branch in reversed(branches):
            if any(
                _guarded(leaf.get_content_type, "") == wanted and _guarded(leaf.get_payload, "")
                for leaf in branch
            ):
                return branch
    return [leaf for branch in branches for leaf in branch]


def _payload_size(part: Message) -> int:
    payload = _guarded(part.get_payload, "")
    if not isinstance(payload, str):
        return 0
    return len(payload) * 3 // 4 if _encoding(part) == "base64" else len(payload)


def _encoding(part: Message) -> str:
    return str(_guarded(lambda: part.get("content-transfer-encoding", ""), "")).strip().lower()


def _guarded(call: Any, fallback: Any) -> Any:
    """Return ``call()``, or ``fallback``: the parser's lazy getters raise on hostile values."""
    try:
        return call()
    except Exception:
        return fallback


def _looks_like_html(text: str) -> bool:
    return bool(re.match(r"\s*<(?:!doctype html|html|head|body|table|div)\b", text, re.I))
