"""HTML to the text a reader sees, on lexbor's parser; nothing is fetched or rendered."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plugins.email_spam.mail import Link

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_HTML = 400_000  # characters; lexbor is quadratic in nesting and in attributes of one tag
MAX_DEPTH = 1000
MAX_TAG = 20_000
MAX_LINKS = 200
MAX_TARGET = 300
_SKIPPED = {"script", "style", "head", "title", "template", "noscript", "svg", "object", "math"}
_BLOCKS = frozenset(
    "address article aside blockquote br center dd div dl dt fieldset footer form h1 h2 "  # noqa: SIM905
    "h3 h4 h5 h6 header hr li main nav ol p pre section table tbody tfoot thead tr ul".split()
)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all"
    r"|(?<![\w-])opacity\s*:\s*0(?:\.0+)?\s*(?:;|!|$)"
    r"|font-size\s*:\s*(?:0(?:\.0\d*)?(?:px|pt|r?em|%)?|1(?:\.0)?(?:px|pt))\s*(?:;|!|$)"
    r"|max-height\s*:\s*0(?:px)?\s*(?:;|!|$)",
    re.IGNORECASE,
)
_DATA_URI = re.compile(r"data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=\s]*")
_LONG_TAG = re.compile(rf"<[A-Za-z][^<>]{{{MAX_TAG},}}")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]{0,20})")
# Elements that are empty, or that the next one of their kind closes: they don't nest.
_FLAT = frozenset(
    "area base br col embed hr img input link meta param source track wbr p li dt dd td "  # noqa: SIM905
    "th tr tbody thead tfoot option optgroup".split()
)
_BLANKS = re.compile(r"[ \t\r\f\v\n\xa0]+")


@dataclass
class Page:
    """What was found in an HTML part; ``notes`` says what was not read."""

    text: str = ""
    hidden: str = ""
    links: list[Link] = field(default_factory=list)
    images: int = 0
    notes: list[str] = field(default_factory=list)


def read_html(html: str) -> Page:
    """Return the visible text of an HTML part, links written ``text <target>``.

    Time is bounded by cutting the input to ``MAX_HTML`` characters and ``MAX_DEPTH`` levels.
    """
    from selectolax.lexbor import LexborHTMLParser

    page = Page()
    html = _limited(html, page.notes)
    root = LexborHTMLParser(html.encode("utf-8", "replace")).root
    if root is None:
        return page
    _Walk(page).run(root)
    return page


def _limited(html: str, notes: list[str]) -> str:
    if "data:" in html:
        html = _DATA_URI.sub("data:", html)
    if len(html) > MAX_HTML:
        notes.append(f"Only the first {MAX_HTML:,} of {len(html):,} characters of HTML were read")
        html = html[:MAX_HTML]
    if len(html) > MAX_TAG:
        html, long_tags = _LONG_TAG.subn("<i", html)
        if long_tags:
            notes.append(f"HTML tags longer than {MAX_TAG:,} characters were not read")
    if html.count("<") > MAX_DEPTH:
        cut = _too_deep(html)
        if cut is not None:
            notes.append(f"HTML nested deeper than {MAX_DEPTH:,} levels was not read")
            html = html[:cut]
    return html


def _too_deep(html: str) -> int | None:
    depth, names = 0, Counter[str]()
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _FLAT:
            continue
        if not match[1]:
            names[name] += 1
            depth += 1
            if depth > MAX_DEPTH:
                return match.start()
        elif names[name]:
            names[name] -= 1
            depth -= 1
    return None


class _Walk:
    """Depth-first without recursion: hostile pages nest deeper than Python's stack."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.shown: list[str] = []
        self.hidden: list[str] = []
        self.hiding: list[int] = []  # open elements that hide their content
        self.links: list[tuple[int, str]] = []  # open links: index into shown, target
        self.seen: set[Link] = set()

    def run(self, root: LexborNode) -> None:
        node: LexborNode | None = root
        while node is not None:
            child = node.child if self.enter(node) else None
            if child is not None:
                node = child
                continue
            self.leave(node)
            following = node.next
            while following is None:
                node = node.parent
                if node is None or node.tag is None:
                    break
                self.leave(node)
                following = node.next
            node = following
        self.page.text = _tidy("".join(self.shown))
        self.page.hidden = _tidy("".join(self.hidden))

    def enter(self, node: LexborNode) -> bool:
        """Take in a node's start; return whether its children are to be read."""
        tag = node.tag or ""
        if tag == "-text":
            text = _BLANKS.sub(" ", (node.text_content or "").replace("\x00", ""))
            (self.hidden if self.hiding else self.shown).append(text)
            return False
        if tag.startswith(("-", "!")) or tag in _SKIPPED:
            return False
        attributes = node.attributes
        if "hidden" in attributes or _HIDING.search(attributes.get("style") or ""):
            self.hiding.append(node.mem_id)
            self.hidden.append(" ")
        if tag == "a":
            target = _BLANKS.sub("", attributes.get("href") or "")[:MAX_TARGET]
            self.links.append((len(self.shown), target))
        elif tag == "img":
            self.page.images += 1
            alternative = (attributes.get("alt") or "")[:200]
            if alternative and not self.hiding:
                self.shown.append(f" {alternative} ")
        if tag in _BLOCKS:
            self.shown.append("\n")
        elif tag in {"td", "th"}:
            self.shown.append(" ")
        return True

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag.startswith(("-", "!")) or tag in _SKIPPED:
            return
        if tag == "a" and self.links:
            self._close_link()
        if tag in _BLOCKS and tag != "br":
            self.shown.append("\n")
        if self.hiding and self.hiding[-1] == node.mem_id:
            self.hiding.pop()

    def _close_link(self) -> None:
        start, target = self.links.pop()
        if self.hiding or not _leads_somewhere(target):
            return
        text = _BLANKS.sub(" ", "".join(self.shown[start:])).strip()[:MAX_TARGET]
        if text.rstrip("/") != target.rstrip("/"):
            self.shown.append(f" <{target}>")
        link = Link(text, target)
        if link not in self.seen and len(self.page.links) < MAX_LINKS:
            self.seen.add(link)
            self.page.links.append(link)


def _leads_somewhere(target: str) -> bool:
    """Leave out anchors, pictures of the mail itself and relative paths."""
    scheme, colon, _ = target.partition(":")
    return bool(colon) and scheme.lower() in {"http", "https", "ftp", "mailto", "javascript"}


def _tidy(text: str) -> str:
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
