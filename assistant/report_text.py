"""A plugin's report as plain text, for line mode."""

from __future__ import annotations

from assistant.plugin_api import Report
from assistant.text import sanitize_line


def render_report(report: Report) -> str:
    """Return a report as safe lines: result, reasons, details, advice."""
    head = f"{report.kind}: {report.verdict} ({report.score:.0%})"
    lines = [sanitize_line(head), sanitize_line(report.headline, 500)]
    for evidence in report.evidence:
        sign = "" if evidence.weight is None else "+ " if evidence.weight > 0 else "- "
        quote = f": “{sanitize_line(evidence.quote)}”" if evidence.quote else ""
        lines.append(f"  {sign}{sanitize_line(evidence.text)}{quote}")
    lines += [
        f"  {sanitize_line(name)}: {sanitize_line(value)}" for name, value in report.details.items()
    ]
    lines += [sanitize_line(line, 500) for line in report.advice]
    return "\n".join(line for line in lines if line.strip())
