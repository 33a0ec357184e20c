"""Where one writes: a text area that grows, sends on Enter and holds large pastes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.binding import Binding, BindingType
from textual.keys import Keys
from textual.message import Message
from textual.widgets import TextArea

from assistant.text import sanitize
from assistant.tui.pasted import is_large

NEWLINE_KEYS = ("shift+enter", "alt+enter", "ctrl+j", "ctrl+enter")
SCREEN_KEYS = ("ctrl+y", "ctrl+f", "ctrl+c", "super+c")
PLACEHOLDER = "Ask anything"

# Terminals without the kitty protocol send ESC CR for Alt+Enter, which Textual reads as a plain
# Enter: a line break would send the message.
if isinstance(ANSI_SEQUENCES_KEYS, dict):
    ANSI_SEQUENCES_KEYS.setdefault("\x1b\r", (Keys.ControlJ,))


class Composer(TextArea):
    """The message being written."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+shift+z", "redo", "Redo", show=False),
    ]

    @dataclass
    class Submitted(Message):
        """Enter was pressed."""

        text: str

    @dataclass
    class PasteArrived(Message):
        """A large paste arrived; the text is raw and not in the composer."""

        text: str

    @dataclass
    class KeyOffered(Message):
        """A key that means something outside: "up", "down", "tab", "pageup", "pagedown"."""

        key: str

    def __init__(self) -> None:
        super().__init__(
            id="composer",
            compact=True,
            highlight_cursor_line=False,
            placeholder=PLACEHOLDER,
        )
        self.completing = False
        # the screen's own keys: the footer would list them where the text area has them
        for key in SCREEN_KEYS:
            self._bindings.key_to_bindings.pop(key, None)

    async def _on_key(self, event: events.Key) -> None:
        if event.key in NEWLINE_KEYS:
            self._take(event)
            self.insert("\n")
        elif event.key == "enter":
            self._take(event)
            self.post_message(self.Submitted(self.text))
        elif (
            event.key in {"pageup", "pagedown"}
            or (self.completing and event.key in {"up", "down", "tab"})
            or (event.key == "up" and not self.text)
        ):
            self._take(event)
            self.post_message(self.KeyOffered(event.key))
        else:
            await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.take_paste(event.text)

    def action_paste(self) -> None:
        """Paste what was copied inside the program."""
        self.take_paste(self.app.clipboard)

    def take_paste(self, text: str) -> None:
        """Insert a small paste; post a large one."""
        if is_large(text):
            self.post_message(self.PasteArrived(text))
        elif text:
            self.insert(sanitize(text))

    @staticmethod
    def _take(event: events.Key) -> None:
        event.stop()
        event.prevent_default()
