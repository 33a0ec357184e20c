"""What an empty conversation shows: one sentence and three questions to begin with."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

EXAMPLES = (
    "How can I reset my password?",
    "How do I recognise a phishing e-mail?",
    "My parcel is late. What can I do?",
)
GREETING = "Ask a question or paste a text. It stays on this computer."


class Welcome(Vertical):
    """A greeting with examples; posts ``Chosen`` when one is clicked or entered."""

    @dataclass
    class Chosen(Message):
        """An example was chosen."""

        question: str

    def compose(self) -> ComposeResult:
        """Lay out the greeting and the examples."""
        yield Static("Frontdesk", markup=False, classes="welcome-title")
        yield Static(GREETING, markup=False, classes="welcome-greeting")
        yield OptionList(
            *(Option(Content.assemble(("› ", "$primary"), question)) for question in EXAMPLES),
            id="examples",
        )
        yield Static(
            "↑ to choose an example, / for commands, F1 for help",
            markup=False,
            classes="note welcome-hint",
        )

    def on_mount(self) -> None:
        """Highlight nothing until the person goes there."""
        self.query_one(OptionList).highlighted = None

    def focus_examples(self) -> None:
        """Move to the last example, the one nearest to the composer."""
        examples = self.query_one(OptionList)
        examples.focus()
        examples.highlighted = len(EXAMPLES) - 1

    @on(OptionList.OptionSelected, "#examples")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(EXAMPLES[event.option_index]))
