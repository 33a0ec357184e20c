"""An answer of the model: Markdown that grows, and a quiet note under it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static
from textual.widgets.markdown import MarkdownStream

from assistant.text import sanitize, sanitize_line
from assistant.tui.widgets.plain_markdown import PlainMarkdown

WAITING = "· · ·"


class Answer(Vertical):
    """One answer; ``grow`` while it streams, ``finish`` once at the end."""

    def __init__(self, content: str = "", note: str = "", waiting: bool = False) -> None:
        super().__init__(classes="answer")
        self.content = sanitize(content)
        self._note = note
        self._waiting = waiting
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        """Lay out the text, the sign of waiting and the note."""
        yield PlainMarkdown(self.content, classes="answer-text")
        waiting = Static(WAITING, markup=False, classes="answer-waiting")
        waiting.display = self._waiting
        yield waiting
        note = Static(sanitize_line(self._note), markup=False, classes="note answer-note")
        note.display = bool(self._note)
        yield note

    @property
    def note(self) -> str:
        """The quiet line under the answer, or empty."""
        return self._note

    def wait(self) -> None:
        """Show that more is to come."""
        self.query_one(".answer-waiting").display = True
        self._set_note("")

    async def grow(self, text: str) -> None:
        """Append a piece; the stream batches pieces that come faster than they can be shown."""
        text = sanitize(text)
        self.content += text
        self.query_one(".answer-waiting").display = False
        if self._stream is None:
            self._stream = PlainMarkdown.get_stream(self.query_one(PlainMarkdown))
        await self._stream.write(text)

    async def finish(self, content: str | None = None, note: str = "") -> None:
        """Show the final text (None: what has come so far) and the note."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
        if content is not None:
            self.content = sanitize(content)
        self.query_one(".answer-waiting").display = False
        # parsed again as a whole: a block closed by a later line may have been shown half-read
        await self.query_one(PlainMarkdown).update(self.content)
        self._set_note(note)

    def add_note(self, note: str) -> None:
        """Put a further note after the one that is there."""
        self._set_note(f"{self._note} · {note}" if self._note else note)

    def _set_note(self, note: str) -> None:
        self._note = note
        widget = self.query_one(".answer-note", Static)
        widget.update(sanitize_line(note))
        widget.display = bool(note)
