"""Full-text search over all conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from assistant.errors import AssistantError
from assistant.history import History, SearchHit, snippet_parts
from assistant.text import sanitize_line
from assistant.tui.themes import MUTED

SPEAKERS = {"user": "You", "assistant": "Frontdesk", "system": "System"}


def hit_content(hit: SearchHit) -> Content:
    """Return a hit as two lines: where, and the passage with the words found marked."""
    title = sanitize_line(hit.title, 60)
    day = hit.created[:10]
    parts: list[str | tuple[str, str]] = [
        (title, "bold"),
        (f"  {SPEAKERS.get(hit.role, '')}, {day}\n", MUTED),
    ]
    for text, found in snippet_parts(hit.snippet):
        parts.append((text, "bold $accent") if found else text)
    return Content.assemble(*parts)


@dataclass(frozen=True)
class Found:
    """What was chosen."""

    conversation_id: str
    message_id: str


class SearchScreen(ModalScreen[Found | None]):
    """Returns the message to go to, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back"),
        Binding("down", "to_results", "Results", show=False),
    ]

    def __init__(self, history: History, query: str = "") -> None:
        super().__init__()
        self._history = history
        self._query = query
        self._hits: Sequence[SearchHit] = ()

    def compose(self) -> ComposeResult:
        """Lay out the field and the results."""
        with Vertical(id="search"):
            yield Input(self._query, placeholder="Search all conversations", compact=True)
            yield OptionList(id="results", markup=False)
            yield Static("", markup=False, id="search-note", classes="note")

    def on_mount(self) -> None:
        """Search at once when the screen was opened with words."""
        self._search(self._query)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def _search(self, query: str) -> None:
        note = ""
        try:
            self._hits = self._history.search(query) if query.strip() else ()
        except AssistantError as error:
            self._hits, note = (), str(error)
        results = self.query_one(OptionList)
        results.clear_options()
        results.add_options(Option(hit_content(hit)) for hit in self._hits)
        results.display = bool(self._hits)
        if self._hits:
            results.highlighted = 0
            note = f"{len(self._hits)} found. Enter opens, Esc goes back"
        elif not note:
            note = "Nothing found" if query.strip() else "Type a few words"
        self.query_one("#search-note", Static).update(note)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        index = self.query_one(OptionList).highlighted
        if self._hits and index is not None:
            self._choose(index)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self._choose(event.option_index)

    def _choose(self, index: int) -> None:
        hit = self._hits[index]
        self.dismiss(Found(hit.conversation_id, hit.message_id))

    def action_to_results(self) -> None:
        """Move from the field into the results."""
        if self._hits:
            self.query_one(OptionList).focus()

    def action_leave(self) -> None:
        """Go back without a choice."""
        self.dismiss(None)
