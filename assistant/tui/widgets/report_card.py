"""A plugin's report as a card: verdict, probability, reasons, details, advice. All plain text."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from assistant.plugin_api import Evidence, Report
from assistant.text import sanitize, sanitize_line
from assistant.tui.pasted import PastedText
from assistant.tui.themes import MUTED

TONES = {"good": "$success", "bad": "$error", "unsure": "$warning", "neutral": "$secondary"}
BAR_WIDTH = 24


class ReportCard(Vertical):
    """Shows a ``Report``; offers to discuss the text it is about, when there is one."""

    @dataclass
    class DiscussAsked(Message):
        """The person wants to talk about the text."""

        pasted: PastedText

    def __init__(self, report: Report, pasted: PastedText | None = None) -> None:
        super().__init__(classes=f"card -{report.tone}")
        self.report = report
        self._pasted = pasted

    def compose(self) -> ComposeResult:
        """Lay out the parts that the report has."""
        report = self.report
        yield self._part(self._title(), "card-title")
        yield self._part(self._bar(), "card-bar")
        yield self._part(Content(sanitize(report.headline)), "card-headline")
        if report.evidence:
            yield self._part(Content("Why"), "card-heading")
            for evidence in report.evidence:
                yield self._part(self._reason(evidence), "card-reason")
        if report.details:
            yield self._part(Content("Details"), "card-heading")
            yield self._part(self._details(), "card-details")
        if report.advice:
            yield self._part(Content("What to do"), "card-heading")
            for line in report.advice:
                yield self._part(Content(f"· {sanitize_line(line, 400)}"), "card-reason")
        if self._pasted is not None:
            yield Button("Discuss this text", compact=True, classes="card-discuss")

    @staticmethod
    def _part(content: Content, name: str) -> Static:
        return Static(content, markup=False, classes=name)

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
            ("━" * full, tone),
            ("━" * (BAR_WIDTH - full), "$foreground 15%"),
            f"  {percent(score)}",
            ("  probability", MUTED),
        )

    @staticmethod
    def _reason(evidence: Evidence) -> Content:
        weight = evidence.weight
        sign, colour = ("·", MUTED)
        if weight is not None and weight != 0:
            sign, colour = ("+", "$error") if weight > 0 else ("−", "$success")
        parts: list[str | tuple[str, str]] = [(sign, f"bold {colour}")]
        parts.append(f" {sanitize_line(evidence.text, 400)}")
        if weight is not None:
            parts.append((f"  {weight:+.2f}".replace("-", "−"), MUTED))
        if evidence.quote:
            parts.append((f"\n  “{sanitize_line(evidence.quote, 160)}”", MUTED))
        return Content.assemble(*parts)

    def _details(self) -> Content:
        rows = [
            (sanitize_line(name, 24), sanitize_line(value, 400))
            for name, value in self.report.details.items()
        ]
        width = max(len(name) for name, _ in rows) + 2
        parts: list[str | tuple[str, str]] = []
        for number, (name, value) in enumerate(rows):
            parts.append((("\n" if number else "") + name.ljust(width), MUTED))
            parts.append(value)
        return Content.assemble(*parts)

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
