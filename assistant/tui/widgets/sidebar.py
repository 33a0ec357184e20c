"""The list of conversations, grouped by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from assistant.text import sanitize_line

if TYPE_CHECKING:
    from assistant.history import Conversation

UNTITLED = "Untitled"
TITLE_WIDTH = 27  # what the list shows on one line, see frontdesk.tcss


def day_of(moment: str, today: date) -> str:
    """Return the day of an ISO 8601 moment in local time: "Today", "Yesterday", "3 March"."""
    try:
        day = datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone().date()
    except ValueError:
        return "Earlier"
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    name = f"{day.day} {day:%B}"
    return name if day.year == today.year else f"{name} {day.year}"


class Sidebar(Vertical):
    """Posts ``Chosen`` and ``DeleteAsked``; shows what it is given."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete", "ask_delete", "Delete", show=True),
    ]

    @dataclass
    class Chosen(Message):
        """A conversation was chosen."""

        conversation_id: str

    @dataclass
    class DeleteAsked(Message):
        """The highlighted conversation is to be deleted."""

        conversation_id: str

    def compose(self) -> ComposeResult:
        """Lay out the heading and the list."""
        yield Static("Conversations", markup=False, classes="sidebar-title")
        yield OptionList(id="conversations", compact=True)
        yield Static("Nothing here yet.", markup=False, classes="note sidebar-empty")

    def show(self, conversations: Sequence[Conversation], current: str | None) -> None:
        """List conversations, newest first, and highlight the current one."""
        options = self.query_one(OptionList)
        options.clear_options()
        today = datetime.now().astimezone().date()
        group = ""
        for conversation in conversations:
            day = day_of(conversation.updated, today)
            if day != group:
                if group:
                    options.add_option(Option("", disabled=True))
                options.add_option(Option(Content(day), disabled=True))
                group = day
            title = sanitize_line(conversation.title, TITLE_WIDTH) or UNTITLED
            options.add_option(Option(Content(title), id=conversation.id))
        options.highlighted = None
        options.display = bool(conversations)
        self.query_one(".sidebar-empty").display = not conversations
        if current is not None and any(c.id == current for c in conversations):
            options.highlighted = options.get_option_index(current)

    def focus_list(self) -> None:
        """Move the keyboard into the list."""
        self.query_one(OptionList).focus()

    def action_ask_delete(self) -> None:
        """Ask for the deletion of the highlighted conversation."""
        option = self.query_one(OptionList).highlighted_option
        if option is not None and option.id is not None:
            self.post_message(self.DeleteAsked(option.id))

    @on(OptionList.OptionSelected, "#conversations")
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Chosen(event.option_id))
