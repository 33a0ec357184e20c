"""The list of conversations: pinned ones, then by day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
PINNED = "Pinned"
TITLE_WIDTH = 27  # what the list shows on one line, see frontdesk.tcss
PAGE = 100  # conversations listed at once; more come where the list ends

Read = Callable[[int, int], Sequence["Conversation"]]
"""Gives conversations in their order: ``read(limit, offset)``."""


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
    """Posts ``Chosen`` and ``Wanted``; shows what it is given."""

    HELP = """\
Conversations
Ctrl+B: Show or hide the list
Enter: Open
F2: Rename
p: Pin at the top, or let go
Delete, d: Delete for good
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "want('rename')", "Rename"),
        Binding("p", "want('pin')", "Pin"),
        Binding("delete,d", "want('delete')", "Delete", key_display="del"),
    ]

    @dataclass
    class Chosen(Message):
        """A conversation was chosen."""

        conversation_id: str

    @dataclass
    class Wanted(Message):
        """Something is to be done with the highlighted one: "rename", "pin" or "delete"."""

        conversation_id: str
        action: str

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._read: Read | None = None
        self._shown: list[Conversation] = []
        self._day: date | None = None
        self._all = False  # nothing follows the last one shown

    def compose(self) -> ComposeResult:
        """Lay out the heading and the list."""
        yield Static("Conversations", markup=False, classes="sidebar-title")
        yield OptionList(id="conversations", compact=True)
        yield Static("Nothing here yet.", markup=False, classes="note sidebar-empty")

    @property
    def options(self) -> OptionList:
        """The list."""
        return self.query_one("#conversations", OptionList)

    def show(self, read: Read, current: str | None) -> None:
        """List conversations and highlight the current one; what is unchanged stays."""
        self._read = read
        today = datetime.now().astimezone().date()
        conversations = list(read(max(PAGE, len(self._shown)), 0))
        if self._day != today or _rows(conversations) != _rows(self._shown):
            self._shown, self._day = [], today
            self.options.clear_options()
            self._append(conversations)
        self._shown = conversations
        self._all = len(conversations) < PAGE
        self.options.display = bool(conversations)
        self.query_one(".sidebar-empty").display = not conversations
        self.options.highlighted = None
        if current is not None and any(c.id == current for c in conversations):
            self.options.highlighted = self.options.get_option_index(current)

    def _append(self, conversations: Iterable[Conversation]) -> None:
        today = self._day or datetime.now().astimezone().date()
        group = _group(self._shown[-1], today) if self._shown else ""
        rows: list[Option] = []
        for conversation in conversations:
            day = _group(conversation, today)
            if day != group:
                if group:
                    rows.append(Option("", disabled=True))
                rows.append(Option(Content(day), disabled=True))
                group = day
            title = sanitize_line(conversation.title, TITLE_WIDTH) or UNTITLED
            rows.append(Option(Content(title), id=conversation.id))
        self.options.add_options(rows)

    def focus_list(self) -> None:
        """Move the keyboard into the list."""
        self.options.focus()

    def action_want(self, action: str) -> None:
        """Ask for something to be done with the highlighted conversation."""
        option = self.options.highlighted_option
        if option is not None and option.id is not None:
            self.post_message(self.Wanted(option.id, action))

    @on(OptionList.OptionHighlighted, "#conversations")
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        near_end = event.option_index >= self.options.option_count - 5
        if near_end and not self._all and self._read is not None and self.options.has_focus:
            more = [c for c in self._read(PAGE, len(self._shown)) if c not in self._shown]
            self._append(more)
            self._shown += more
            self._all = not more

    @on(OptionList.OptionSelected, "#conversations")
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Chosen(event.option_id))


def _group(conversation: Conversation, today: date) -> str:
    return PINNED if conversation.pinned else day_of(conversation.updated, today)


def _rows(conversations: Iterable[Conversation]) -> list[tuple[str, str, str, bool]]:
    """What of the conversations the list shows."""
    return [(c.id, c.title, c.updated[:10], c.pinned) for c in conversations]
