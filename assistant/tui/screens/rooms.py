"""The layout: sidebar, transcript, desk and footer, and how problems are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from assistant.errors import AssistantError
from assistant.tui.slash import SlashTable
from assistant.tui.widgets.desk import Desk
from assistant.tui.widgets.key_line import KeyLine
from assistant.tui.widgets.sidebar import Sidebar
from assistant.tui.widgets.status_line import StatusLine
from assistant.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from assistant.tui.app import Plugins

WIDE = 90  # columns from which the sidebar is shown by itself


class RoomsScreen(Screen[None]):
    """The parts of the screen, without any conversation in them."""

    AUTO_FOCUS: ClassVar[str | None] = "Composer"

    def __init__(self, plugins: Plugins) -> None:
        super().__init__()
        self.plugins = plugins
        self.slash = SlashTable()

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        with Horizontal(id="rooms"):
            yield Sidebar(id="sidebar")
            with Vertical(id="main"):
                yield Transcript()
                yield Desk(self.plugins, self.slash)
        yield KeyLine()

    @property
    def sidebar(self) -> Sidebar:
        """The list of conversations."""
        return self.query_one(Sidebar)

    @property
    def transcript(self) -> Transcript:
        """Questions and answers."""
        return self.query_one(Transcript)

    @property
    def desk(self) -> Desk:
        """Where one writes."""
        return self.query_one(Desk)

    @property
    def status(self) -> StatusLine:
        """The line about the model."""
        return self.query_one(StatusLine)

    @contextmanager
    def problems_shown(self) -> Iterator[None]:
        """Show an AssistantError of the body as a toast."""
        try:
            yield
        except AssistantError as error:
            self.complain(error)

    def complain(self, error: AssistantError) -> None:
        """Show an error as a toast."""
        self.app.notify(str(error), severity="error", timeout=8, markup=False)
