"""Making hostile text safe to show: text from models, mails and files reaches no terminal raw."""

from __future__ import annotations

import re
import unicodedata

# C0 without tab and newline, DEL and C1 (both carry escape sequences), and the bidirectional
# controls (Trojan Source, CVE-2021-42574), line and paragraph separators, the tag block.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\U000e0000-\U000e007f\ud800-\udfff\ufff9-\ufffb]"
)


def sanitize(text: str) -> str:
    """Remove every control character but tab and newline; CR LF and CR become newlines."""
    return _UNSAFE.sub("", normalize_newlines(text))


def normalize_newlines(text: str) -> str:
    """Return the text with CR LF and CR as newlines; terminals paste lines with CR."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sanitize_line(text: str, limit: int = 200) -> str:
    """Return ``text`` as one safe line of at most ``limit`` characters."""
    line = " ".join(sanitize(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def escape_controls(text: str) -> str:
    """Show control characters as escapes (``\\x1b``) where their presence is the point."""
    return "".join(
        c if c in "\n\t" or (unicodedata.category(c) not in {"Cc", "Cf", "Cs"}) else _escape(c)
        for c in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii", "replace")


def byte_size(count: int) -> str:
    """Return a number of bytes for people: "640 B", "2.1 kB", "113.8 MB"."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 999_950 else f"{count / 1e6:.1f} MB"
