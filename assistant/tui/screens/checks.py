"""Checks of pastes, and plugins' commands."""

from __future__ import annotations

from textual import on

from assistant.plugin_api import Analyzer, SlashCommand
from assistant.tui.screens.setup import SetupScreen
from assistant.tui.widgets.check import Check
from assistant.tui.widgets.desk import Desk
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.report_card import ReportCard


class ChecksScreen(SetupScreen):
    """The conversation, and what plugins do beside it."""

    check: Check | None = None
    _checked_chip: PasteChip | None = None

    @on(Desk.AnalysisAsked)
    async def _analysis_asked(self, event: Desk.AnalysisAsked) -> None:
        chip, analyzer = event.chip, event.analyzer
        if self.check is not None:
            self.app.notify("One check at a time. Esc cancels it", markup=False)
            return
        chip.display = False
        self._checked_chip = chip
        await self._start_check(self._check_of(analyzer, chip))
        self.desk.composer.focus()

    @staticmethod
    def _check_of(analyzer: Analyzer, chip: PasteChip) -> Check:
        raw = chip.pasted.raw
        title = f"{analyzer.title}: {chip.pasted.label}"
        return Check(title, lambda p, c: analyzer.analyze(raw, p, c), chip.pasted)

    async def run_plugin(self, title: str, plugin: SlashCommand, argument: str) -> None:
        """Run a plugin's command."""
        if self.check is not None:
            self.app.notify("One check at a time. Esc cancels it", markup=False)
            return
        await self._start_check(Check(title, lambda _p, _c: plugin.run(argument)))

    async def _start_check(self, check: Check) -> None:
        self.check = check
        await self.transcript.add(check)
        self.transcript.follow()
        self.refresh_bindings()

    def cancel_check(self) -> bool:
        """Cancel the running check; tell whether there was one."""
        if self.check is None:
            return False
        self.check.cancel()
        return True

    def leave_checks(self) -> None:
        """A check belongs to the conversation it was started in."""
        self.cancel_check()

    @on(Check.Ended)
    async def _check_ended(self, event: Check.Ended) -> None:
        chip, self._checked_chip = self._checked_chip, None
        if chip is not None and event.done:
            await chip.remove()
        elif chip is not None:
            chip.display = True
        self.check = None
        if event.done:
            self.transcript.show_start(event.check)
        elif not event.check.query(Notice):  # cancelled: there is nothing to read
            await self.transcript.drop(event.check)
        self.refresh_bindings()

    @on(ReportCard.DiscussAsked)
    async def _discuss_asked(self, event: ReportCard.DiscussAsked) -> None:
        await self.desk.attach(event.pasted)
