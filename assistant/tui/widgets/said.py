"""What questions and answers have in common: an identity, a quiet note, and what can be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Static

from assistant.text import sanitize_line


@dataclass(frozen=True)
class Version:
    """Which of its versions a message is, from 1; ``count`` 1 means that there is no other."""

    number: int = 1
    count: int = 1


class Said(Vertical):
    """A message of the conversation.

    Attributes:
        content: its text, safe to show.
        message_id: in the history; "" until it is stored.
    """

    ACTIONS: ClassVar[tuple[tuple[str, str], ...]] = ()

    @dataclass
    class Pointed(Message):
        """The message was clicked."""

        said: Said

    @dataclass
    class Wanted(Message):
        """Something is to be done with the message: an action of the chat screen's."""

        said: Said
        action: str

    def __init__(self, content: str, message_id: str = "", classes: str = "") -> None:
        super().__init__(classes=f"said {classes}")
        self.content = content
        self.message_id = message_id
        self.version = Version()
        self._note = ""
        self.details = ""

    @property
    def note(self) -> str:
        """The quiet line under the message, or empty."""
        version = self.version
        number = f"Version {version.number} of {version.count}" if version.count > 1 else ""
        return " · ".join(part for part in (self._note, number, self.details) if part)

    @property
    def own_note(self) -> str:
        """The note without the number of the version."""
        return self._note

    def set_note(self, note: str) -> None:
        """Say something about the message, quietly."""
        self._note = sanitize_line(note)
        self._show_note()

    def set_details(self, details: str) -> None:
        """Show how it was made beside the note, or no longer."""
        self.details = details
        self._show_note()

    def set_version(self, version: Version) -> None:
        """Say which of its versions it is."""
        if version != self.version:
            self.version = version
            self._show_note()

    def note_widget(self) -> Static:
        """Return the line for ``compose``."""
        widget = Static(self.note, markup=False, classes="note said-note")
        widget.display = bool(self.note)
        return widget

    def _show_note(self) -> None:
        for widget in self.query(".said-note").results(Static):
            widget.update(self.note)
            widget.display = bool(self.note)

    # --- being chosen --------------------------------------------------------------------

    def choose(self, chosen: bool) -> None:
        """Show or hide that it is chosen, and what can be done with it."""
        self.set_class(chosen, "-chosen")
        for row in self.query(ActionRow):
            row.remove()
        if chosen:
            actions = self.actions()
            if self.version.count > 1:
                actions += [("version(-1)", "‹"), ("version(1)", "›")]
            self.mount(ActionRow(actions))

    def actions(self) -> list[tuple[str, str]]:
        """Return what can be done with it: actions of the chat screen's, and their labels."""
        return list(self.ACTIONS)

    def on_click(self, event: events.Click) -> None:
        """Tell that it was clicked, unless text was selected."""
        if not self.screen.get_selected_text():
            self.post_message(self.Pointed(self))

    @on(Button.Pressed, ".action")
    def _action(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Wanted(self, event.button.name or ""))


class ActionRow(Horizontal):
    """What can be done with the chosen message; the keyboard has a key for each."""

    def __init__(self, actions: list[tuple[str, str]]) -> None:
        super().__init__(classes="actions")
        self._actions = actions

    def compose(self) -> ComposeResult:
        """Lay out one small button an action."""
        for name, label in self._actions:
            button = Button(label, name=name, compact=True, classes="action")
            button.can_focus = False
            yield button
