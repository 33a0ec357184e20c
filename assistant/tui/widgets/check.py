"""A plugin's job in the transcript: it runs on a worker thread and becomes its own result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from assistant.errors import AssistantError, unexpected
from assistant.plugin_api import Report
from assistant.tui.facts import CheckAdvanced, CheckFailed, CheckFinished
from assistant.tui.pasted import PastedText
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.progress import Progress
from assistant.tui.widgets.report_card import ReportCard

Job = Callable[[Callable[[float], None], Event], Report | str]


class Check(Vertical):
    """Runs ``job(progress, cancel)`` once it is mounted.

    Args:
        title: what is done, for the line that shows the progress.
        job: an analyzer or a plugin's slash command; called on a worker thread.
        pasted: the text it is about, None when there is none.
    """

    @dataclass
    class Ended(Message):
        """The job is over; ``done`` is False when it was cancelled or failed."""

        check: Check
        done: bool

    def __init__(self, title: str, job: Job, pasted: PastedText | None = None) -> None:
        super().__init__(classes="check")
        self._title = title
        self._job = job
        self._cancel = Event()
        self.pasted = pasted

    def compose(self) -> ComposeResult:
        """Begin with the progress."""
        yield Progress(self._title)

    def on_mount(self) -> None:
        """Start the job."""
        self.run_worker(self._work, name="check", thread=True, exit_on_error=False)

    def cancel(self) -> None:
        """Ask the job to stop and leave; what it still says is not shown."""
        if not self._cancel.is_set():
            self._cancel.set()
            self.post_message(self.Ended(self, False))

    def on_unmount(self) -> None:
        """Let the job end when the transcript goes."""
        self._cancel.set()

    def _work(self) -> None:
        def progress(fraction: float) -> None:
            self.post_message(CheckAdvanced(min(1.0, max(0.0, float(fraction)))))

        try:
            self.post_message(CheckFinished(self._job(progress, self._cancel)))
        except AssistantError as error:
            self.post_message(CheckFailed(error))
        except Exception as error:  # a plugin's fault is a line on the screen
            self.post_message(CheckFailed(unexpected("The plugin failed", error)))

    @on(CheckAdvanced)
    def _advanced(self, fact: CheckAdvanced) -> None:
        fact.stop()
        for progress in self.query(Progress):
            progress.advance(fact.fraction)

    @on(CheckFinished)
    async def _finished(self, fact: CheckFinished) -> None:
        fact.stop()
        if isinstance(fact.result, Report):
            await self._become(ReportCard(fact.result, self.pasted), done=True)
        else:
            await self._become(Notice(str(fact.result)), done=True)

    @on(CheckFailed)
    async def _failed(self, fact: CheckFailed) -> None:
        fact.stop()
        await self._become(Notice.problem(fact.error), done=False)

    async def _become(self, widget: Notice | ReportCard, done: bool) -> None:
        if not self._cancel.is_set():
            await self.query(Progress).remove()
            await self.mount(widget)
            self.post_message(self.Ended(self, done))
