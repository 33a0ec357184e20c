"""The place to write: pastes that wait, the list of commands, the composer, the status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import OptionList, Static

from assistant.plugin_api import Analyzer
from assistant.tui.pasted import PastedText, quoted, recognise
from assistant.tui.slash import Command, SlashTable
from assistant.tui.widgets.completions import Completions
from assistant.tui.widgets.composer import Composer
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from assistant.tui.app import Plugins


class Desk(Vertical):
    """Posts ``Sent`` and ``AnalysisAsked``; keeps what was written until told to ``clear``."""

    @dataclass
    class Sent(Message):
        """The person sent a message or a command; an attached paste is quoted in it."""

        text: str

    @dataclass
    class AnalysisAsked(Message):
        """The person chose an analyzer for a paste."""

        chip: PasteChip
        analyzer: Analyzer

    @dataclass
    class KeyOffered(Message):
        """A key the composer has no use for: "up", "pageup", "pagedown"."""

        key: str

    def __init__(self, plugins: Plugins, slash: SlashTable) -> None:
        super().__init__(id="desk")
        self._plugins = plugins
        self._slash = slash

    def compose(self) -> ComposeResult:
        """Lay out chips, completions, composer and status line, from top to bottom."""
        yield Vertical(id="chips")
        yield Completions()
        with Horizontal(id="composer-box"):
            yield Static("›", markup=False, id="prompt")
            yield Composer()
        yield StatusLine(id="status")

    @property
    def composer(self) -> Composer:
        """The text area."""
        return self.query_one(Composer)

    def clear(self) -> None:
        """Empty the composer; a paste that went with the message leaves too."""
        self.composer.load_text("")
        for chip in self.query(PasteChip):
            if chip.attached:
                chip.remove()

    def put_back(self, text: str) -> None:
        """Return a message that could not be sent; what was written since follows it."""
        written = self.composer.text
        self.composer.load_text(f"{text}\n{written}" if written else text)
        self.composer.move_cursor(self.composer.document.end)
        self.composer.focus()

    async def attach(self, pasted: PastedText) -> None:
        """Quote a paste in the next message."""
        chip = PasteChip(pasted)
        await self.query_one("#chips").mount(chip)
        chip.attach()
        self.composer.focus()

    def close_completions(self) -> bool:
        """Hide the list of commands; tell whether it was shown."""
        completions = self.query_one(Completions)
        shown = bool(completions.display)
        self._show_completions([])
        return shown

    def _show_completions(self, commands: list[Command]) -> None:
        self.query_one(Completions).show(commands)
        self.composer.completing = bool(commands)

    @on(Composer.Changed)
    def _changed(self, event: Composer.Changed) -> None:
        event.stop()
        self._show_completions(self._slash.matching(self.composer.text))

    @on(Composer.KeyOffered)
    def _key(self, event: Composer.KeyOffered) -> None:
        event.stop()
        completions = self.query_one(Completions)
        if completions.display and event.key in {"up", "down"}:
            if event.key == "up":
                completions.action_cursor_up()
            else:
                completions.action_cursor_down()
        elif completions.display and event.key == "tab":
            if completions.chosen is not None:
                self._complete(completions.chosen)
        else:
            self.post_message(self.KeyOffered(event.key))

    @on(OptionList.OptionSelected, "#completions")
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._complete(self.query_one(Completions).at(event.option_index))
        self.composer.focus()

    def _complete(self, command: Command) -> None:
        self.composer.load_text(f"/{command.name}" + (" " if command.argument else ""))
        self.composer.move_cursor(self.composer.document.end)

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        event.stop()
        text = event.text.strip()
        chosen = self.query_one(Completions).chosen
        if chosen is not None and text != f"/{chosen.name}":
            self._complete(chosen)
            if chosen.argument:
                return
            text = f"/{chosen.name}"
        self.close_completions()
        attached = [chip.pasted.text for chip in self.query(PasteChip) if chip.attached]
        if text and not text.startswith("/"):
            for pasted in attached:
                text = quoted(text, pasted)
        if text:
            self.post_message(self.Sent(text))
        elif attached:
            self.app.notify("Write what you would like to know about the text", markup=False)

    @on(Composer.PasteArrived)
    async def _paste(self, event: Composer.PasteArrived) -> None:
        event.stop()
        pasted = recognise(event.text, self._plugins.detectors(), self._plugins.analyzers())
        chip = PasteChip(pasted)
        await self.query_one("#chips").mount(chip)
        chip.focus_first()

    @on(PasteChip.Chosen)
    async def _chosen(self, event: PasteChip.Chosen) -> None:
        event.stop()
        chip = event.chip
        if event.choice == "analyze" and event.analyzer is not None:
            self.post_message(self.AnalysisAsked(chip, event.analyzer))
            return
        if event.choice == "discuss":
            chip.attach()
        else:
            await chip.remove()
            if event.choice == "insert":
                self.composer.insert(chip.pasted.text)
        self.composer.focus()
