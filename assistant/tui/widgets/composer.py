"""Where one writes: a text area that grows, sends on Enter and holds large pastes back."""

from __future__ import annotations

import time
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
SCREEN_KEYS = ("ctrl+y", "ctrl+f", "ctrl+c", "super+c", "ctrl+z")
PLACEHOLDER = "Ask anything"

# Terminals without the kitty protocol send ESC CR for Alt+Enter, which Textual reads as a plain
# Enter: a line break would send the message.
if isinstance(ANSI_SEQUENCES_KEYS, dict):
    ANSI_SEQUENCES_KEYS.setdefault("\x1b\r", (Keys.ControlJ,))


class Composer(TextArea):
    """The message being written."""

    HELP = """\
Writing
Enter: Send
Shift+Enter, Alt+Enter, Ctrl+J: New line
Up: In an empty composer: edit the last question, once more the one before
Alt+Up, Alt+Down: Bring back what you asked before, in any conversation
Ctrl+O: Write in $EDITOR
Ctrl+_: Undo; Ctrl+Shift+Z redoes
/: Commands; Tab completes
A paste of five lines or more waits above the composer until you say what to do with it. \
Nothing of it reaches the model before.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+underscore,ctrl+slash,alt+z", "undo", "Undo", show=False),
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
        """A key that means something outside: "up", "tab", "pageup", "alt+up" and the like."""

        key: str

    def __init__(self) -> None:
        super().__init__(
            id="composer",
            compact=True,
            highlight_cursor_line=False,
            placeholder=PLACEHOLDER,
        )
        self.completing = False
        self.typed_at = 0.0  # when a key was pressed last, by time.monotonic()
        self.walking = False  # through earlier questions: Up and Down go on at the edges
        # the screen's own keys: the footer would list them where the text area has them
        for key in SCREEN_KEYS:
            self._bindings.key_to_bindings.pop(key, None)

    def on_mount(self) -> None:
        """Blink only where things may move."""
        self.cursor_blink = self.app.animation_level != "none"

    async def _on_key(self, event: events.Key) -> None:
        self.typed_at = time.monotonic()
        if event.key in NEWLINE_KEYS:
            self._take(event)
            self.insert("\n")
        elif event.key == "enter":
            self._take(event)
            self.post_message(self.Submitted(self.text))
        elif self._means_something_outside(event.key):
            self._take(event)
            self.post_message(self.KeyOffered(event.key))
        else:
            await super()._on_key(event)

    def _means_something_outside(self, key: str) -> bool:
        if key in {"pageup", "pagedown", "alt+up", "alt+down"}:
            return True
        if self.completing and key in {"up", "down", "tab"}:
            return True
        if key == "up":
            return not self.text or (self.walking and self.cursor_at_first_line)
        return key == "down" and self.walking and self.cursor_at_last_line

    def write(self, text: str) -> None:
        """Replace what is written; the cursor goes to its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

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
