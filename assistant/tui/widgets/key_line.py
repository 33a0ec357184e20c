"""The last line of the screen: the keys that mean something now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

GAP = 2  # cells between two keys


@dataclass(frozen=True)
class KeyHint:
    """A key, where its words stand in the line, and what they are."""

    key: str
    start: int
    end: int
    words: Content


class KeyLine(Widget):
    """Shows as many of the active bindings as the width holds; a click presses the key.

    One widget that is painted anew, where a row of widgets would be taken down and mounted
    again whenever the focus moves.
    """

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._pointed = -1  # column of the pointer
        self._shown: list[KeyHint] = []

    def on_mount(self) -> None:
        """Be painted again when other keys mean something."""
        self.screen.bindings_updated_signal.subscribe(self, self._keys_changed)

    def _keys_changed(self, _screen: Screen[Any]) -> None:
        self.refresh()

    def hints(self) -> list[KeyHint]:
        """Return what the line shows, from left to right; behind another screen it stays so."""
        if self.app.screen is not self.screen:
            return [hint for hint in self._shown if hint.end <= self.size.width]
        found: list[KeyHint] = []
        actions: set[str] = set()
        start = 0
        for _node, binding, enabled, _tooltip in self.screen.active_bindings.values():
            if not binding.show or not enabled or binding.action in actions:
                continue
            actions.add(binding.action)
            name = self.app.get_key_display(binding)
            end = start + Content(f"{name} {binding.description}").cell_length
            if end > self.size.width:
                break
            under = "underline " if start <= self._pointed < end else ""
            words = Content.assemble(
                (f"{name} ", f"{under}bold $footer-key-foreground"),
                (binding.description, f"{under}$footer-description-foreground"),
            )
            found.append(KeyHint(binding.key, start, end, words))
            start = end + GAP
        self._shown = found
        return found

    def render(self) -> Content:
        """Return the line."""
        return Content(" " * GAP).join([hint.words for hint in self.hints()])

    def on_click(self, event: events.Click) -> None:
        """Press the key whose words were clicked."""
        column = event.get_content_offset(self)
        for hint in self.hints():
            if column is not None and hint.start <= column.x < hint.end:
                event.stop()
                self.app.simulate_key(hint.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Underline what a click would press."""
        offset = event.get_content_offset(self)
        self._point(offset.x if offset is not None else -1)

    def on_leave(self, _event: events.Leave) -> None:
        """Underline nothing any more."""
        self._point(-1)

    def _point(self, column: int) -> None:
        if column != self._pointed:
            self._pointed = column
            self.refresh()
