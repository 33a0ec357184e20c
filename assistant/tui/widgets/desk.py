"""The place to write: pastes that wait, the list of commands, the composer, the status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import OptionList, Static

from assistant.plugin_api import Analyzer
from assistant.tui.pasted import PastedText, quoted, recognise
from assistant.tui.recall import Recall
from assistant.tui.slash import Completion, SlashTable
from assistant.tui.widgets.completions import Completions
from assistant.tui.widgets.composer import Composer
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.status_line import StatusLine
from assistant.tui.widgets.too_long import TooLong

if TYPE_CHECKING:
    from assistant.tui.app import Plugins

EDITING = "Editing: Enter asks it anew, Esc keeps it as it is"


class Desk(Vertical):
    """Posts ``Sent`` and ``AnalysisAsked``; keeps what was written until told to ``clear``.

    Attributes:
        editing: id of the question that is being edited, "" for a new one.
    """

    @dataclass
    class Sent(Message):
        """The person sent a message or a command; an attached paste is quoted in it.

        Attributes:
            fixed: characters of the text before the first quoted paste.
            editing: id of the question it takes the place of, or empty.
        """

        text: str
        fixed: int = 0
        editing: str = ""

    @dataclass
    class AnalysisAsked(Message):
        """The person chose an analyzer for a paste."""

        chip: PasteChip
        analyzer: Analyzer

    @dataclass
    class KeyOffered(Message):
        """A key the composer has no use for: "up", "down", "alt+up", "pageup" and the like."""

        key: str

    def __init__(self, plugins: Plugins, slash: SlashTable) -> None:
        super().__init__(id="desk")
        self._plugins = plugins
        self._slash = slash
        self._draft = ""  # what was written before an edit began
        self._sent = ""  # what the composer held of the message that is being answered
        self.editing = ""

    def compose(self) -> ComposeResult:
        """Lay out chips, completions, composer and status line, from top to bottom."""
        yield Vertical(id="chips")
        yield Completions()
        banner = Static(EDITING, markup=False, id="banner", classes="note")
        banner.display = False
        yield banner
        with Horizontal(id="composer-box"):
            yield Static("›", markup=False, id="prompt")
            yield Composer()
        yield StatusLine(id="status")

    @property
    def composer(self) -> Composer:
        """The text area."""
        return self.query_one(Composer)

    # --- what is sent, and what comes back -----------------------------------------------

    def clear(self) -> None:
        """Empty the composer; a paste that goes with the message leaves it, too."""
        self._sent = self.composer.text.strip()
        self.stop_editing(restore=False)
        self.composer.load_text("")
        for chip in self._attached():
            chip.display = False
            chip.going = True
        self.query(TooLong).remove()

    def accepted(self) -> None:
        """The message is being answered: nothing of it comes back."""
        for chip in self.query(PasteChip):
            if chip.going:
                chip.remove()

    def put_back(self, text: str) -> None:
        """Return a message that could not be sent; what was written since follows it."""
        going = [chip for chip in self.query(PasteChip) if chip.going]
        for chip in going:
            chip.going = False
            chip.display = True
        written = self.composer.text
        text = self._sent if going and self._sent else text
        self.composer.write(f"{text}\n{written}" if written else text)
        self.composer.focus()

    def write(self, text: str) -> None:
        """Add text to what is written, on a line of its own."""
        written = self.composer.text.rstrip()
        self.composer.write(f"{written}\n\n{text}" if written else text)
        self.composer.focus()

    def _attached(self) -> list[PasteChip]:
        return [chip for chip in self.query(PasteChip) if chip.attached and not chip.going]

    async def attach(self, pasted: PastedText) -> None:
        """Quote a paste in the next message."""
        chip = PasteChip(pasted)
        await self.query_one("#chips").mount(chip)
        chip.attach()
        self.composer.focus()

    async def ask_how_to_shorten(self, question: TooLong) -> None:
        """Show the ways to shorten what was put back."""
        await self.query(TooLong).remove()
        await self.query_one("#chips").mount(question)
        question.focus_first()

    # --- editing and recalling -----------------------------------------------------------

    def edit(self, message_id: str, text: str) -> None:
        """Begin to edit a question; what was being written comes back afterwards."""
        if not self.editing:
            self._draft = self.composer.text
        self.editing = message_id
        self.query_one("#banner").display = True
        self.add_class("-editing")
        self.composer.write(text)
        self.composer.walking = True
        self.composer.focus()

    def stop_editing(self, restore: bool = True) -> bool:
        """Leave the edit; tell whether there was one."""
        if not self.editing:
            return False
        self.editing = ""
        self.query_one("#banner").display = False
        self.remove_class("-editing")
        self.composer.walking = False
        if restore:
            self.composer.write(self._draft)
        self._draft = ""
        return True

    def recall(self, recall: Recall, step: int) -> None:
        """Bring back an earlier (-1) or a later (1) question."""
        text = recall.step(self.composer.text, step)
        if text is not None:
            self.composer.write(text)

    # --- completion ----------------------------------------------------------------------

    def close_completions(self) -> bool:
        """Hide the list of commands; tell whether it was shown."""
        shown = bool(self.query_one(Completions).display)
        self._show_completions([])
        return shown

    def _show_completions(self, completions: Sequence[Completion], choose: bool = True) -> None:
        self.query_one(Completions).show(completions, choose)
        self.composer.completing = bool(completions)

    @on(Composer.Changed)
    def _changed(self, event: Composer.Changed) -> None:
        event.stop()
        text = self.composer.text if self.composer.document.line_count == 1 else ""
        self._show_completions(self._slash.matching(text), choose=not text.endswith(" "))

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
            if completions.first is not None:
                self.composer.write(completions.first.text)
        else:
            self.post_message(self.KeyOffered(event.key))

    @on(OptionList.OptionSelected, "#completions")
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.composer.write(self.query_one(Completions).at(event.option_index).text)
        self.composer.focus()

    # --- sending -------------------------------------------------------------------------

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        event.stop()
        text = event.text.strip()
        chosen = self.query_one(Completions).chosen
        if chosen is not None and text != chosen.text.strip():
            self.composer.write(chosen.text)
            if not chosen.done:
                return
            text = chosen.text
        self.close_completions()
        attached = [chip.pasted.text for chip in self._attached()]
        fixed = 0
        if text and attached and not text.startswith("/"):
            fixed = len(text) + 2
            for pasted in attached:
                text = quoted(text, pasted)
        if text:
            self.post_message(self.Sent(text, fixed, self.editing))
        elif attached:
            self.app.notify("Write what you would like to know about the text", markup=False)

    # --- pastes --------------------------------------------------------------------------

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
        if event.choice == "look":
            from assistant.tui.screens.text import TextScreen

            self.app.push_screen(TextScreen(chip.pasted.label, chip.pasted.text, read_only=True))
            return
        if event.choice == "discuss":
            chip.attach()
        else:
            await chip.remove()
            if event.choice == "insert":
                self.composer.insert(chip.pasted.text)
        self.composer.focus()
