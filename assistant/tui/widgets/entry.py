"""One thing of the transcript, on the screen or waiting to be scrolled to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from assistant.handbook.reading import handbook_line
from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.question import Question
from assistant.tui.widgets.said import Said, Version

if TYPE_CHECKING:
    from assistant.history import StoredMessage

Maker = Callable[[], Widget]

NOTES = {
    "stopped": "Stopped",
    "interrupted": "Interrupted: the program ended before the answer did",
    "failed": "Failed",
    "streaming": "Still being written elsewhere",
}
CUT_NOTES = {"length": "Cut at the longest answer allowed", "context": "Cut: the context is full"}


def note_of(message: StoredMessage) -> str:
    """Return the quiet line under an answer: why it is not complete, or empty."""
    if message.status == "failed" and message.error:
        return f"Failed: {message.error}"
    note = NOTES.get(message.status, "")
    note = note or CUT_NOTES.get(str(message.statistics.get("stop_reason", "")), "")
    return " · ".join(part for part in (note, handbook_line(message.statistics)) if part)


def widget_of(message: StoredMessage) -> Said:
    """Return the widget of a stored message."""
    if message.role == "user":
        return Question(message.content, message.id)
    return Answer(message.content, note_of(message), message_id=message.id)


def maker_of(message: StoredMessage) -> Maker:
    """Return what makes the widget of a stored message."""
    return lambda: widget_of(message)


class Entry:
    """A widget that can leave the screen and be made again.

    Args:
        make: makes it; None for one that is there already and cannot be made again.
        widget: where it is there already.
        message_id: of a stored message.
    """

    def __init__(
        self, make: Maker | None = None, widget: Widget | None = None, message_id: str = ""
    ) -> None:
        self._make = make
        self._id = message_id
        self.widget = widget

    @property
    def message_id(self) -> str:
        """Of the message, "" for anything else and for one that is not stored yet."""
        return self.widget.message_id if isinstance(self.widget, Said) else self._id

    @property
    def stays(self) -> bool:
        """Whether it must not leave the screen now."""
        if isinstance(self.widget, Answer):
            return self.widget.live
        return self._make is None and not isinstance(self.widget, Question)

    def enter(self) -> Widget:
        """Return its widget, made if it is not there."""
        if self.widget is None:
            if self._make is None:
                raise RuntimeError("An entry that cannot be made again has left the screen")
            self.widget = self._make()
        return self.widget

    def leave(self) -> Widget | None:
        """Forget its widget, which the caller removes; it can be made again."""
        widget, self.widget = self.widget, None
        if isinstance(widget, Said):
            self._id, self._make = widget.message_id, _copy_of(widget)
        return widget


def _copy_of(said: Said) -> Maker:
    """What is shown may be newer than what was stored when it was made."""
    content, note, version, identity = said.content, said.own_note, said.version, said.message_id
    kind = Question if isinstance(said, Question) else Answer

    def make() -> Said:
        copy = Question(content, identity) if kind is Question else Answer(content, note)
        copy.message_id, copy.version = identity, version
        return copy

    return make


def numbered(versions: dict[str, tuple[str, ...]], message_id: str) -> Version:
    """Return which of its versions a message is."""
    ids = versions.get(message_id, ())
    return Version(ids.index(message_id) + 1, len(ids)) if ids else Version()
