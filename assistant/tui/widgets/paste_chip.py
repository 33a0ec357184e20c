"""A large paste as a chip above the composer, with what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from assistant.plugin_api import Analyzer
from assistant.text import sanitize_line
from assistant.tui.pasted import PastedText

Choice = Literal["analyze", "look", "discuss", "insert", "remove"]
CHOICES: dict[str, Choice] = {
    "look": "look", "discuss": "discuss", "insert": "insert", "remove": "remove",
}  # fmt: skip
LONGEST_INSERT = 50_000  # characters; a text area would become slow with more


class PasteChip(Horizontal):
    """Nothing of the paste goes anywhere before one of the buttons is pressed."""

    HELP = """\
A paste that waits
Left, Right, Enter: Choose what to do with it
Check: Let a plugin look into it; the model does not see it
Discuss: It goes, quoted, with your next message
Insert as text: It goes into the composer
Look: See all of it
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "app.focus_next", "Next", show=False),
        Binding("left", "app.focus_previous", "Previous", show=False),
    ]

    @dataclass
    class Chosen(Message):
        """A button was pressed; ``analyzer`` for "analyze"."""

        chip: PasteChip
        choice: Choice
        analyzer: Analyzer | None = None

    def __init__(self, pasted: PastedText) -> None:
        super().__init__(classes="chip")
        self.pasted = pasted
        self.attached = False
        self.going = False  # with a message that may still come back

    def compose(self) -> ComposeResult:
        """Lay out the label and the buttons."""
        yield Static(sanitize_line(self.pasted.label, 60), markup=False, classes="chip-label")
        with Horizontal(classes="chip-buttons"):
            for number, analyzer in enumerate(self.pasted.analyzers):
                title = Content(sanitize_line(analyzer.title, 30))
                yield Button(title, name=f"analyze {number}", compact=True, classes="-main")
            yield Button("Discuss", name="discuss", compact=True)
            if len(self.pasted.raw) <= LONGEST_INSERT:
                yield Button("Insert as text", name="insert", compact=True)
            yield Button("Look", name="look", compact=True)
            yield Button("Remove", name="remove", compact=True)

    def focus_first(self) -> None:
        """Put the keyboard on the first button."""
        self.query(Button).first().focus()

    def attach(self) -> None:
        """Show that the paste goes along with the next message."""
        self.attached = True
        self.add_class("-attached")
        label = f"{self.pasted.label}, goes with your next message"
        self.query_one(".chip-label", Static).update(sanitize_line(label))
        for button in self.query(Button):
            button.display = button.name in {"look", "remove"}

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        action, _, number = (event.button.name or "").partition(" ")
        if action == "analyze":
            self.post_message(self.Chosen(self, "analyze", self.pasted.analyzers[int(number)]))
        else:
            self.post_message(self.Chosen(self, CHOICES[action]))
