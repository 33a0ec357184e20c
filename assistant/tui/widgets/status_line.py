"""One line about the model: name, state, context in use, speed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from assistant.text import sanitize_line
from assistant.tui.widgets.gauge import gauge

METER = 8  # cells
CONTEXT = 3  # place of the context's use among the facts


@dataclass(frozen=True)
class Status:
    """What the line shows.

    Attributes:
        state: "loading", "ready", "answering", "no model", or another word for people.
        used, window: tokens of the conversation and of the model's context; 0 is not shown.
        left_out: the oldest messages that no longer fit into the context.
        tokens_per_second, first_token_ms: of the last answer; 0 is not shown.
        private: whether nothing of the conversation is kept.
    """

    model: str = ""
    state: str = "loading the model"
    used: int = 0
    window: int = 0
    left_out: int = 0
    tokens_per_second: float = 0.0
    first_token_ms: float = 0.0
    private: bool = False


class StatusLine(Widget):
    """Shows as many of the facts as the width allows, the most useful ones first."""

    status: reactive[Status] = reactive(Status)

    def change(self, **facts: Any) -> None:
        """Replace some of the facts."""
        self.status = replace(self.status, **facts)

    def render(self) -> Content:
        """Return the line."""
        facts, without_bar = self._facts(bar=True), self._facts(bar=False)
        for number in range(len(facts), 0, -1):
            for shown in (facts, without_bar) if number == CONTEXT + 1 else (facts,):
                parts = [fact for fact in shown[:number] if fact.plain]
                for separator in ("  ·  ", " · "):
                    line = Content(separator).join(parts)
                    if line.cell_length <= self.size.width:
                        return line
        return Content()

    def _facts(self, bar: bool) -> list[Content]:
        status = self.status
        facts = [
            Content.styled("private", "$accent") if status.private else Content(),
            Content(sanitize_line(status.model, 32)),
            Content(status.state),
        ]
        if status.window and status.used:
            facts.append(meter(status.used, status.window, bar))
        else:
            facts.append(Content(f"{status.window} tokens of context" if status.window else ""))
        if status.left_out:
            facts.append(Content(f"{status.left_out} oldest messages left out"))
        if status.tokens_per_second:
            facts.append(Content(f"{status.tokens_per_second:.0f} tokens/s"))
        if status.first_token_ms:
            facts.append(Content(f"first token {status.first_token_ms / 1000:.2f} s"))
        return facts


def meter(used: int, window: int, bar: bool = True) -> Content:
    """Return a bar of the context in use, and its numbers; or the numbers alone."""
    full = min(METER, max(1, round(METER * used / window)))
    tone = "$warning" if used > 0.8 * window else "$primary"
    if not bar:
        return Content(f"{used}/{window} tokens")
    return Content.assemble(gauge(full, METER, tone), f" {used}/{window} tokens")
