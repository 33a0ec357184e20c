"""A plugin's report as a card: verdict, reasons, the text's telling passages, what to do.

All plain text: nothing of a report is read as markup, nothing in it can be clicked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from assistant.errors import AssistantError, unexpected
from assistant.plugin_api import Action, Evidence, Report
from assistant.text import sanitize, sanitize_line
from assistant.tui.pasted import PastedText
from assistant.tui.themes import MUTED
from assistant.tui.widgets.gauge import gauge

TONES = {"good": "$success", "bad": "$error", "unsure": "$warning", "neutral": "$secondary"}
BAR_WIDTH = 24


class ReportCard(Vertical):
    """Shows a ``Report``; offers to discuss the text it is about, when there is one."""

    @dataclass
    class DiscussAsked(Message):
        """The person wants to talk about the text."""

        pasted: PastedText

    @dataclass
    class ActionEnded(Message):
        """One of the report's actions was done, or failed; ``line`` says what happened."""

        line: str
        done: bool
        taken_back: bool

    def __init__(self, report: Report, pasted: PastedText | None = None) -> None:
        super().__init__(classes=f"card -{report.tone}")
        self.report = report
        self._pasted = pasted
        self._acted: Action  # the last one that was chosen
        if report.quotation:
            self._pasted = PastedText(report.quotation, report.kind)

    def compose(self) -> ComposeResult:
        """Lay out the parts that the report has."""
        report = self.report
        yield self._part(self._title(), "card-title")
        yield self._part(self._bar(), "card-bar")
        yield self._part(Content(sanitize(report.headline)), "card-headline")
        if report.evidence:
            yield self._part(Content("Why"), "card-heading")
            for evidence in report.evidence:
                yield self._row(self._sign(evidence), self._reason(evidence), 2)
        if any(passage.weight for passage in report.passages):
            yield self._part(Content("Where"), "card-heading")
            yield self._part(self._passages(), "card-passages")
        if report.details:
            yield self._part(Content("Details"), "card-heading")
            width = max(len(sanitize_line(name, 24)) for name in report.details) + 2
            for name, value in report.details.items():
                label = Content.styled(sanitize_line(name, 24), MUTED)
                yield self._row(label, Content(sanitize_line(value, 400)), width)
        if report.advice:
            yield self._part(Content("What to do"), "card-heading")
            for line in report.advice:
                yield self._row(
                    Content.styled("·", f"bold {MUTED}"), Content(sanitize_line(line, 400)), 2
                )
        with Horizontal(classes="card-buttons"):
            for number, action in enumerate(report.actions):
                label = Content(sanitize_line(action.label, 30))
                yield Button(label, name=str(number), compact=True, classes="card-action")
            undo = Button("Undo", compact=True, classes="card-undo")
            undo.display = False
            yield undo
            if self._pasted is not None:
                yield Button("Discuss this text", compact=True, classes="card-discuss")

    @staticmethod
    def _part(content: Content, name: str) -> Static:
        return Static(content, markup=False, classes=name)

    @staticmethod
    def _row(label: Content, content: Content, width: int) -> Horizontal:
        """A label and a text that wraps beside it, not below it."""
        first = Static(label, markup=False)
        first.styles.width = width
        return Horizontal(first, Static(content, markup=False, classes="text"), classes="card-row")

    def _title(self) -> Content:
        tone = TONES.get(self.report.tone, "$secondary")
        verdict = sanitize_line(self.report.verdict, 40).upper()
        kind = sanitize_line(self.report.kind, 40)
        return Content.assemble((verdict, f"bold {tone}"), (f"  {kind}", MUTED))

    def _bar(self) -> Content:
        score = min(1.0, max(0.0, self.report.score))
        full = round(score * BAR_WIDTH)
        tone = TONES.get(self.report.tone, "$secondary")
        return Content.assemble(
            gauge(full, BAR_WIDTH, tone),
            f"  {percent(score)}",
            ("  probability", MUTED),
        )

    @staticmethod
    def _sign(evidence: Evidence) -> Content:
        sign, colour = ("·", MUTED)
        if evidence.weight:
            sign, colour = ("+", "$error") if evidence.weight > 0 else ("−", "$success")
        return Content.styled(sign, f"bold {colour}")

    @staticmethod
    def _reason(evidence: Evidence) -> Content:
        parts: list[str | tuple[str, str]] = [sanitize_line(evidence.text, 400)]
        if evidence.weight is not None:
            parts.append((f"  {evidence.weight:+.2f}".replace("-", "−"), MUTED))
        if evidence.quote:
            parts.append((f"\n“{sanitize_line(evidence.quote, 160)}”", MUTED))
        return Content.assemble(*parts)

    def _passages(self) -> Content:
        """The text: what speaks for the bad outcome in red and underlined, against it in green."""
        parts: list[str | tuple[str, str]] = []
        for passage in self.report.passages:
            style = MUTED
            if passage.weight:
                style = "underline $error" if passage.weight > 0 else "$success"
            parts += [(sanitize_line(passage.text, 2000), style), "\n"]
        return Content.assemble(*parts[:-1])

    @on(Button.Pressed, ".card-action, .card-undo")
    def _act(self, event: Button.Pressed) -> None:
        event.stop()
        for button in self.query(".card-action, .card-undo"):
            button.disabled = True
        back = event.button.has_class("card-undo")
        if not back:
            self._acted = self.report.actions[int(event.button.name or 0)]
        run = (self._acted.undo if back else None) or self._acted.run
        self.run_worker(lambda: self._work(run, back), thread=True, exit_on_error=False)

    def _work(self, run: Callable[[], str], back: bool) -> None:
        try:
            line, done = str(run()), True
        except AssistantError as error:
            line, done = str(error), False
        except Exception as error:  # a plugin's fault is a line on the card
            line, done = str(unexpected("The plugin failed", error)), False
        self.post_message(self.ActionEnded(line, done, back))

    @on(ActionEnded)
    async def _ended(self, event: ActionEnded) -> None:
        event.stop()
        acted = event.done != event.taken_back  # whether an action stands now
        self.query_one(".card-undo").display = acted and self._acted.undo is not None
        for button in self.query(".card-action, .card-undo"):
            button.disabled = False
        for button in self.query(".card-action"):
            button.display = not acted
        await self.query(".card-outcome").remove()
        await self.mount(self._part(Content(sanitize_line(event.line, 400)), "card-outcome"))

    @on(Button.Pressed, ".card-discuss")
    def _discuss(self, event: Button.Pressed) -> None:
        event.stop()
        if self._pasted is not None:
            event.button.display = False
            self.post_message(self.DiscussAsked(self._pasted))


def percent(probability: float) -> str:
    """Return a probability for people; only 0 and 1 themselves read "0 %" and "100 %"."""
    if 0 < probability < 0.01:
        return "< 1 %"
    if 0.99 < probability < 1:
        return "> 99 %"
    return f"{probability * 100:.0f} %"
