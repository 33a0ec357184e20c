"""Reports for a terminal and for scripts."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import Any

import click

from assistant.plugin_api import Evidence, Report, sanitize_line
from plugins.email_spam.mail import Mail

_COLOURS = {"bad": "red", "good": "green", "unsure": "yellow", "neutral": None}
_WIDEST = 96


def as_json(source: str, mail: Mail, report: Report, model: str, milliseconds: float) -> str:
    """Return one line of JSON; control characters cannot be in it, non-ASCII is escaped."""
    row: dict[str, Any] = {
        "source": source,
        "subject": mail.subject,
        "verdict": report.verdict,
        "probability": round(report.score, 6),
        "evidence": [
            {"text": e.text, "weight": e.weight, "quote": e.quote} for e in report.evidence
        ],
        "model": model,
        "milliseconds": round(milliseconds, 1),
    }
    return json.dumps(row)


def as_row(source: str, mail: Mail, report: Report) -> str:
    """Return one line of an aligned table: verdict, probability, subject, source."""
    word = click.style(f"{report.verdict:<6}", fg=_COLOURS[report.tone], bold=True)
    subject = sanitize_line(mail.subject, 44) or "(no subject)"
    return f"{word} {report.score:>4.0%}  {subject:<44}  {sanitize_line(source, 120)}".rstrip()


def as_card(source: str, report: Report) -> str:
    """Return a report for people, wrapped to the terminal."""
    width = min(_WIDEST, max(40, shutil.get_terminal_size().columns))
    colour = _COLOURS[report.tone]
    lines = [click.style(sanitize_line(report.headline), fg=colour, bold=True), ""]
    rows = {"Source": source, **report.details}
    names = max(len(name) for name in rows)
    for name, value in rows.items():
        lines += _wrapped(f"  {name:<{names}}  ", sanitize_line(value, 400), width)
    if report.evidence:
        lines += ["", "Why"]
        for evidence in report.evidence:
            lines += _reason(evidence, width)
    lines += ["", "What to do"]
    for advice in report.advice:
        lines += _wrapped("  - ", advice, width)
    return "\n".join(lines)


def as_quiet_row(source: str, report: Report) -> str:
    """Return verdict, probability and source, separated by tabs."""
    return f"{report.verdict}\t{report.score:.4f}\t{sanitize_line(source, 4000)}"


def _reason(evidence: Evidence, width: int) -> list[str]:
    mark = "   *  " if evidence.weight is None else f"{evidence.weight:>+5.1f} "
    lines = _wrapped(mark, sanitize_line(evidence.text, 400), width)
    if evidence.quote:
        lines += _wrapped("      ", f'"{sanitize_line(evidence.quote)}"', width)
    return lines


def _wrapped(lead: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_on_hyphens=False,
    ) or [lead.rstrip()]
