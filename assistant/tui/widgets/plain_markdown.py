"""Markdown of a model's answer: no raw HTML, no images, links as text with their address."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from textual.await_complete import AwaitComplete
from textual.widget import Widget
from textual.widgets import Markdown


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _flatten(children: list[Token]) -> list[Token]:
    """Replace links and images by their text and, where it differs, their address."""
    flat: list[Token] = []
    open_links: list[tuple[str, int]] = []
    for token in children:
        if token.type == "link_open":
            open_links.append((str(token.attrs.get("href", "")), len(flat)))
        elif token.type == "link_close":
            address, start = open_links.pop()
            label = "".join(part.content for part in flat[start:])
            if address and address.removeprefix("mailto:") != label:
                flat.append(_text(f" ({address})"))
        elif token.type == "image":
            flat.append(_text(f"{token.content} ({token.attrs.get('src', '')})".strip()))
        else:
            flat.append(token)
    return flat


def _plain_links(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and token.children:
            token.children = _flatten(token.children)


def plain_parser() -> MarkdownIt:
    """Return a parser whose result carries nothing to click and drops nothing of the text.

    Textual drops raw HTML and hides addresses behind their label; in an answer both are text
    that a person should see.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.core.ruler.push("plain_links", _plain_links)
    return parser


class PlainMarkdown(Markdown):
    """A Markdown widget for text that nobody vouches for."""

    def __init__(self, markdown: str = "", *, classes: str | None = None) -> None:
        super().__init__(markdown, classes=classes, parser_factory=plain_parser, open_links=False)
        self._last: Widget | None = None

    def update(self, markdown: str) -> AwaitComplete:
        """Show another text."""
        return AwaitComplete(self._mark_last(super().update(markdown)))

    def append(self, markdown: str) -> AwaitComplete:
        """Add to the text."""
        return AwaitComplete(self._mark_last(super().append(markdown)))

    async def _mark_last(self, change: AwaitComplete) -> None:
        """Mark the last block once the text has changed: it needs no line below it.

        ``:last-child`` would find it, too, but has Textual style every block again whenever one
        is added: most of the work in a long answer.
        """
        with self.app.batch_update():
            await change
            last = self.children[-1] if self.children else None
            if last is self._last:
                return
            if self._last is not None and self._last.is_attached:
                self._last.remove_class("-last")
            if last is not None:
                last.add_class("-last")
            self._last = last
