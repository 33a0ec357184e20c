"""A conversation of any length, of which only the part in view is mounted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button

from assistant.tui.painted import forget_painted_lines
from assistant.tui.widgets.entry import Entry, Maker, maker_of, numbered
from assistant.tui.widgets.said import Said
from assistant.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from assistant.history import StoredMessage

PAGE = 20  # things mounted at once: a year-long conversation opens as fast as a short one
MOST = 40  # things mounted; beyond it those furthest from the view leave until they are needed


class Timeline(VerticalScroll):
    """What was said, oldest first; scrolling to an edge of what is mounted brings more."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._entries: list[Entry] = []
        self._first = self._end = 0  # what is mounted
        self._versions: dict[str, tuple[str, ...]] = {}
        self._loading = False  # more is being mounted because it was scrolled to
        self.chosen: Said | None = None

    def compose(self) -> ComposeResult:
        """Lay out the column: never lower than the view, or a short one would hang at its end."""
        yield Vertical(id="column")

    @property
    def column(self) -> Vertical:
        """What scrolls."""
        return self.query_one("#column", Vertical)

    # --- what is in it -------------------------------------------------------------------

    async def show(
        self,
        messages: Sequence[StoredMessage],
        versions: dict[str, tuple[str, ...]] | None = None,
        at: str = "",
    ) -> None:
        """Show a conversation from its end, or around the message ``at``; empty: the welcome."""
        self.chosen, self._versions = None, versions or {}
        self._entries = [Entry(maker_of(message), message_id=message.id) for message in messages]
        place = next((n for n, m in enumerate(messages) if m.id == at), None)
        middle = len(messages) if place is None else min(len(messages), place + PAGE // 2)
        with self.app.batch_update():
            await self.column.remove_children()
            self.column.set_class(not messages, "-empty")
            self._first = self._end = middle
            if not messages:
                await self.column.mount(Welcome())
                return
            await self._mount(max(0, middle - PAGE), middle)

    async def add(self, *widgets: Widget, make: Maker | None = None) -> None:
        """Append widgets at the end; the welcome leaves.

        Args:
            make: makes a widget again that left the screen; questions and answers need none.
        """
        await self.query(Welcome).remove()
        self.column.remove_class("-empty")
        await self._go_to_end()
        await self.note(*widgets, make=make)
        await self._trim(from_top=True)

    async def note(self, *widgets: Widget, make: Maker | None = None) -> None:
        """Append lines of the program's own; the welcome stays."""
        self._entries += [Entry(make, widget) for widget in widgets]
        self._end = len(self._entries)
        await self.column.mount_all(widgets, before=self._later())

    async def drop(self, widget: Widget) -> None:
        """Take one thing out."""
        for number, entry in enumerate(self._entries):
            if entry.widget is widget:
                self._delete(number, number + 1)
                break
        await widget.remove()

    async def cut(self, message_id: str, keep: bool = False) -> None:
        """Take out everything from a message on; with ``keep`` everything after it."""
        place = self._place(message_id)
        if place is None:
            return
        widgets = [entry.widget for entry in self._entries[place + keep :]]
        self._delete(place + keep, len(self._entries))
        for widget in widgets:
            if widget is not None:
                await widget.remove()
        await self._show_bounds()

    def _delete(self, start: int, end: int) -> None:
        del self._entries[start:end]
        for name in ("_first", "_end"):
            bound = getattr(self, name)
            setattr(self, name, bound - max(0, min(bound, end) - start))

    def _place(self, message_id: str) -> int | None:
        places = range(len(self._entries))
        return next((n for n in places if self._entries[n].message_id == message_id), None)

    def mark_versions(self, versions: dict[str, tuple[str, ...]]) -> None:
        """Show at every message which of its versions it is."""
        self._versions = versions
        for said in self.query(Said):
            said.set_version(numbered(versions, said.message_id))

    # --- what is mounted -----------------------------------------------------------------

    async def _mount(self, start: int, end: int) -> None:
        """Mount the entries from start to end, which touch what is mounted."""
        widgets = []
        for entry in self._entries[start:end]:
            widget = entry.enter()
            if isinstance(widget, Said):
                widget.version = numbered(self._versions, widget.message_id)
            widgets.append(widget)
        first = self._entries[self._first].widget if self._first < self._end else None
        if end <= self._first and first is not None:
            await self.column.mount_all(widgets, before=first)
        else:
            await self.column.mount_all(widgets, before=self._later())
        self._first, self._end = min(self._first, start), max(self._end, end)
        await self._show_bounds()

    async def _trim(self, from_top: bool) -> None:
        """Let what is furthest from the view leave."""
        removed: list[Widget] = []
        while self._end - self._first > MOST:
            entry = self._entries[self._first if from_top else self._end - 1]
            if entry.stays or entry.widget is self.chosen:
                break
            widget = entry.leave()
            if widget is not None:
                removed.append(widget)
            if from_top:
                self._first += 1
            else:
                self._end -= 1
        for widget in removed:
            await widget.remove()
        if removed:
            forget_painted_lines()
        await self._show_bounds()

    async def _show_bounds(self) -> None:
        """Show above and below that there is more."""
        earlier, later = self.query("#earlier"), self.query("#later")
        if self._first == 0:
            await earlier.remove()
        elif not earlier:
            more = Button("Earlier messages", compact=True, id="earlier")
            await self.column.mount(more, before=0)
        if self._end == len(self._entries):
            await later.remove()
        elif not later:
            await self.column.mount(Button("Later messages", compact=True, id="later"))

    def _later(self) -> Widget | None:
        later = self.query("#later")
        return later.first() if later else None

    async def _go_to_end(self) -> None:
        """Mount the end of the conversation, wherever the view was."""
        if self._end == len(self._entries):
            return
        with self.app.batch_update():
            for entry in self._entries[self._first : self._end]:
                widget = entry.leave()
                if widget is not None:
                    await widget.remove()
            self._first = self._end = len(self._entries)
            await self._mount(max(0, self._first - PAGE), self._first)

    async def _go_to_start(self) -> None:
        """Mount the start of the conversation, wherever the view was."""
        if self._first == 0:
            return
        with self.app.batch_update():
            for entry in self._entries[self._first : self._end]:
                if entry.stays:
                    return
            for entry in self._entries[self._first : self._end]:
                widget = entry.leave()
                if widget is not None:
                    await widget.remove()
            self._first = self._end = 0
            await self._mount(0, min(PAGE, len(self._entries)))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Mount more where the view comes to the edge of what is mounted."""
        super().watch_scroll_y(old_value, new_value)
        if self._loading or not self.is_mounted or new_value == old_value:
            return
        if new_value < old_value and new_value <= 1 and self._first > 0:
            self._loading = True
            self.call_later(self.show_earlier)
        at_end = new_value > old_value and new_value >= self.max_scroll_y - 1
        if at_end and self._end < len(self._entries):
            self._loading = True
            self.call_later(self.show_later)

    @on(Button.Pressed, "#earlier")
    async def show_earlier(self) -> None:
        """Mount the page before, the view stays where it is."""
        self._loading = True
        self.release_anchor()
        height = self.virtual_size.height
        top = self.scroll_y
        with self.app.batch_update():
            await self._mount(max(0, self._first - PAGE), self._first)
            await self._trim(from_top=False)

        def settled() -> None:
            grown = self.virtual_size.height - height
            self.scroll_to(y=top + max(0, grown), animate=False, immediate=True)
            self._loading = False

        self.call_after_refresh(settled)

    @on(Button.Pressed, "#later")
    async def show_later(self) -> None:
        """Mount the page after."""
        self._loading = True
        await self._mount(self._end, min(len(self._entries), self._end + PAGE))
        self._loading = False
