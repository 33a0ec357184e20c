"""An answer of the model: Markdown that grows, and quiet lines under it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.widgets import Static

from assistant.text import sanitize, sanitize_line
from assistant.tui.widgets.said import Said

if TYPE_CHECKING:
    from textual.widgets.markdown import MarkdownStream

    from assistant.tui.widgets.plain_markdown import PlainMarkdown

WAITING = "· · ·"
_FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


class Answer(Said):
    """One answer; ``grow`` while it streams, ``finish`` once at the end."""

    ACTIONS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("copy", "Copy"),
        ("copy_code", "Copy code"),
        ("quote", "Quote"),
        ("again", "Answer again"),
        ("details", "Details"),
    )

    def __init__(
        self, content: str = "", note: str = "", waiting: bool = False, message_id: str = ""
    ) -> None:
        super().__init__(sanitize(content), message_id, "answer")
        self._note = sanitize_line(note)
        self._waiting = waiting
        self._stream: MarkdownStream | None = None
        self._held: list[str] = []

    def compose(self) -> ComposeResult:
        """Lay out the text, the sign of waiting and the note."""
        # the parser is a tenth of what an empty conversation needs to be painted
        from assistant.tui.widgets.plain_markdown import PlainMarkdown

        yield PlainMarkdown(self.content, classes="answer-text")
        waiting = Static(WAITING, markup=False, classes="answer-waiting")
        waiting.display = self._waiting
        yield waiting
        yield self.note_widget()

    @property
    def markdown(self) -> PlainMarkdown:
        """The text as it is shown."""
        from assistant.tui.widgets.plain_markdown import PlainMarkdown

        return self.query_one(PlainMarkdown)

    @property
    def live(self) -> bool:
        """Whether more of it is to come."""
        return self._waiting or self._stream is not None

    @property
    def holds(self) -> bool:
        """Whether some of it is not shown yet."""
        return bool(self._held)

    @property
    def code(self) -> str:
        """The last fenced block of the answer, or empty."""
        blocks = _FENCED.findall(self.content)
        return blocks[-1][1].rstrip("\n") if blocks else ""

    def actions(self) -> list[tuple[str, str]]:
        """Offer the code only where there is some."""
        return [action for action in self.ACTIONS if action[0] != "copy_code" or self.code]

    def wait(self) -> None:
        """Show that more is to come."""
        self._waiting = True
        self.query_one(".answer-waiting").display = True
        self.set_note("")

    def hold(self, text: str) -> None:
        """Take a piece without showing it: nobody looks at the end of the answer now."""
        text = sanitize(text)
        self.content += text
        self._held.append(text)

    async def grow(self, text: str) -> None:
        """Append a piece; the stream batches pieces that come faster than they can be shown."""
        text = sanitize(text)
        self.content += text
        self._waiting = False
        self.query_one(".answer-waiting").display = False
        if self._stream is None:
            self._stream = self.markdown.get_stream(self.markdown)
        held, self._held = "".join(self._held), []
        await self._stream.write(held + text)

    async def finish(self, content: str | None = None, note: str = "") -> None:
        """Show the final text (None: what has come so far) and the note."""
        if self._stream is not None:
            # stopped before its task took its first step, a stream raises that task's
            # cancellation, which would end this whole screen
            with contextlib.suppress(asyncio.CancelledError):
                await self._stream.stop()
            self._stream = None
        if content is not None:
            self.content = sanitize(content)
        self._held, self._waiting = [], False
        self.query_one(".answer-waiting").display = False
        # parsed again as a whole: a block closed by a later line may have been shown half-read
        await self.markdown.update(self.content)
        self.set_note(note)
