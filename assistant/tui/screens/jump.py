"""Jump mode: everything one can go to has a letter; the letter goes there."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Static, TextArea

from assistant.tui.widgets.said import Said
from assistant.tui.widgets.transcript import Transcript

LETTERS = "asdfghjklqwertyuiopzxcvbnm"  # those under the fingers first
TARGETS = (Said, Button, OptionList, TextArea, Input)


class JumpScreen(ModalScreen[None]):
    """Lies over another screen and shows the letters.

    Args:
        under: the screen one jumps in.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,alt+j", "dismiss(None)", "Back", priority=True),
    ]

    def __init__(self, under: Screen[Any]) -> None:
        super().__init__()
        found = [widget for widget in under.query("*") if _is_target(widget, under)]
        # from the end: what was said last is what one wants most
        self._targets = dict(zip(LETTERS, reversed(found), strict=False))

    def compose(self) -> ComposeResult:
        """Lay out a letter on each target."""
        for letter, widget in self._targets.items():
            label = Static(f" {letter} ", markup=False, classes="jump-letter")
            region = widget.region
            view = widget.parent.region if isinstance(widget.parent, Widget) else region
            label.styles.offset = (region.x, max(region.y, view.y, 0))
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go where the letter stands; any other key goes back."""
        event.stop()
        widget = self._targets.get(event.character or "")
        self.dismiss(None)
        if widget is not None:
            self.app.call_later(_go, widget)


def _is_target(widget: Widget, under: Screen[Any]) -> bool:
    if not isinstance(widget, TARGETS) or not widget.region.size or widget.has_class("action"):
        return False
    if not (widget.can_focus or isinstance(widget, Said)):
        return False
    around = [node for node in widget.ancestors_with_self if isinstance(node, Widget)]
    views = [node.region for node in around if isinstance(node, Transcript)]
    return all(node.display for node in around) and all(
        region.overlaps(widget.region) for region in (under.region, *views)
    )


def _go(widget: Widget) -> None:
    if not widget.is_mounted:
        return
    if isinstance(widget, Said):
        for node in widget.ancestors:
            if isinstance(node, Transcript):
                node.focus(scroll_visible=False)
                node.choose(widget)
    elif isinstance(widget, Button):
        widget.press()
    else:
        widget.focus()
