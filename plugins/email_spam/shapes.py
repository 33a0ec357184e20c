"""What mail looks like as plain text: header blocks, forwarding marks, quoting."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Names that make a text a mail (RFC 5322 and the headers servers add), "sent" as Outlook writes.
HEADER_NAMES = frozenset(
    "from to cc bcc subject date sent sender reply-to received return-path message-id "  # noqa: SIM905
    "mime-version delivered-to in-reply-to references list-unsubscribe list-id "
    "dkim-signature authentication-results content-type".split()
)
_HEADER_LINE = re.compile(r"[ \t]{0,4}\*{0,2}([A-Za-z][A-Za-z0-9-]{1,40})\s?:\*{0,2}(?:\s|$)(.*)")
_FORWARD_MARK = re.compile(
    r"[ \t>]*(?:-{2,}\s*(?:forwarded (?:message|by)|original message|weitergeleitete nachricht|"
    r"ursprüngliche nachricht|message transféré|mensaje reenviado)\b|begin forwarded message:)",
    re.IGNORECASE,
)
_SEARCHED_LINES = 80


@dataclass(frozen=True)
class HeaderBlock:
    """Header lines found in a text.

    Attributes:
        start: index of its first line.
        end: index of the first line after it.
        values: lower-case names to values.
        capitalised: names are written the way mail programs write them.
        forwarded: a forwarding mark stands above it.
    """

    start: int
    end: int
    values: dict[str, str]
    capitalised: bool
    forwarded: bool


def find_header_block(lines: list[str]) -> HeaderBlock | None:
    """Return the first block of two or more mail headers near the top, or None.

    One header counts as a block when it opens the text and a blank line follows.
    """
    forwarded = False
    index = 0
    while index < min(len(lines), _SEARCHED_LINES):
        if _FORWARD_MARK.match(lines[index]):
            forwarded = True
        block = _block_at(lines, index, forwarded)
        if block is None:
            index += 1
            continue
        anchored = block.values.keys() & {"from", "subject", "received", "return-path"}
        alone = index == 0 and (block.end == len(lines) or not lines[block.end].strip())
        if anchored and (len(block.values) >= 2 or alone or forwarded):
            return block
        index = block.end
    return None


def as_mail_text(text: str) -> str | None:
    """Return the text from its mail headers on, in a form that a mail parser reads, or None.

    Of a forwarded message that is the message inside; quoting with ">" is taken off.
    """
    lines = unquoted(text).split("\n")
    block = find_header_block(lines)
    if block is None:
        return None
    headers = [
        line.lstrip().replace("*", "", 4) if _header_name(line) else line
        for line in lines[block.start : block.end]
    ]
    body = lines[block.end :]
    if body and not body[0].strip():
        body = body[1:]
    return "\n".join([*headers, "", *body])


def unquoted(text: str) -> str:
    """Take the ">" off a text that is quoted as a whole."""
    lines = text.replace("\r\n", "\n").split("\n")
    filled = [line for line in lines if line.strip()]
    if len(filled) < 3 or sum(line.startswith(">") for line in filled) < 0.9 * len(filled):
        return "\n".join(lines)
    return "\n".join(line[1:].removeprefix(" ") if line.startswith(">") else line for line in lines)


def _header_name(line: str) -> str | None:
    match = _HEADER_LINE.match(line[:2000])
    return match[1] if match else None


def _block_at(lines: list[str], start: int, forwarded: bool) -> HeaderBlock | None:
    values: dict[str, str] = {}
    names: list[str] = []
    index = start
    while index < len(lines):
        line = lines[index]
        match = _HEADER_LINE.match(line[:2000])
        name = match[1].lower() if match else ""
        if match and (name in HEADER_NAMES or (values and "-" in name)):
            values.setdefault(name, match[2].strip())
            names.append(match[1])
        elif not (values and line[:1] in {" ", "\t"} and line.strip()):
            break
        index += 1
    if not values:
        return None
    capitalised = sum(name[0].isupper() for name in names) >= len(names) / 2
    return HeaderBlock(start, index, values, capitalised, forwarded)
