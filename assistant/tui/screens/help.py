"""Keys and commands on one page, made of what each widget says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from assistant.tui.slash import Command


@dataclass(frozen=True)
class Section:
    """The help of one widget: a heading, keys with what they do, and other lines."""

    heading: str
    keys: tuple[tuple[str, str], ...]
    lines: tuple[str, ...] = ()


def read_help(text: str) -> Section:
    """Read a widget's HELP: a heading, then "Key: What it does" or a plain sentence a line."""
    heading, *rest = text.strip().splitlines()
    keys: list[tuple[str, str]] = []
    lines: list[str] = []
    for line in rest:
        key, colon, what = line.partition(": ")
        if colon:
            keys.append((key, what))
        else:
            lines.append(line)
    return Section(heading, tuple(keys), tuple(lines))


def help_sections(screen: Screen[Any]) -> list[Section]:
    """Return the help of everything on a screen, that of what has the focus first."""
    focused = screen.focused.ancestors_with_self if screen.focused is not None else []
    nodes = [node for node in (*focused, *screen.query("*")) if node is not screen]
    texts = [str(node.HELP) for node in (*nodes, screen) if getattr(node, "HELP", None)]
    return [read_help(text) for text in dict.fromkeys(texts)]


def rows(pairs: Iterable[tuple[str, str]]) -> Iterator[Horizontal]:
    """Yield two columns, each wrapped on its own."""
    for left, right in pairs:
        yield Horizontal(
            Static(left, markup=False, classes="help-left"),
            Static(right, markup=False, classes="help-right"),
            classes="help-row",
        )


class HelpScreen(ModalScreen[None]):
    """Keys of what is on the screen, and the commands, a plugin's among them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,enter", "dismiss(None)", "Back"),
    ]

    def __init__(self, sections: Iterable[Section], commands: Iterable[Command]) -> None:
        super().__init__()
        self._sections = list(sections)
        self._commands = list(commands)

    def compose(self) -> ComposeResult:
        """Lay out the page."""
        with VerticalScroll(id="help"):
            for section in self._sections:
                yield Static(section.heading, markup=False, classes="help-heading")
                yield from rows(section.keys)
                for line in section.lines:
                    yield Static(line, markup=False, classes="note")
            yield Static("Commands", markup=False, classes="help-heading")
            yield from rows((c.usage, c.help) for c in self._commands)
            yield Static("Esc goes back", markup=False, classes="note page-note")
