"""Reports for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assistant.text import sanitize_line


def table(rows: Mapping[str, Mapping[str, Any]], first: str) -> str:
    """Return a Markdown table of the numbers in ``rows``, one line a row."""
    columns: list[str] = []
    for row in rows.values():
        columns += [k for k, v in row.items() if k not in columns and isinstance(v, int | float)]
    lines = [
        f"| {first} | " + " | ".join(column.replace("_", " ") for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, row in rows.items():
        lines.append(f"| {_cell(name)} | " + " | ".join(_cell(row.get(c)) for c in columns) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return sanitize_line(str(value), 60).replace("|", "\\|")


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return a report: its title and facts, then a table for each group of figures.

    A group is a mapping of names to mappings; ``examples`` become a list of quotes.
    """
    lines = [f"# {sanitize_line(str(report.get('title', 'Report')))}", ""]
    for name, value in report.items():
        if not isinstance(value, Mapping) and name not in ("title", "examples"):
            lines.append(f"- {name.replace('_', ' ')}: {_cell(value)}")
    for name, value in report.items():
        if isinstance(value, Mapping) and all(isinstance(inner, str) for inner in value.values()):
            lines += ["", f"## {name.replace('_', ' ').capitalize()}", ""]
            lines += [
                f"- {sanitize_line(key)}: {sanitize_line(text)}" for key, text in value.items()
            ]
        elif isinstance(value, Mapping):
            nested = all(isinstance(inner, Mapping) for inner in value.values())
            rows = value if nested else {name: value}
            lines += ["", f"## {name.replace('_', ' ').capitalize()}", "", table(rows, "of")]
    for example in report.get("examples", []):
        question = sanitize_line(example["question"], 300)
        lines += ["", f"**{question}**", "", f"> {sanitize_line(example['answer'], 1200)}"]
    return "\n".join(lines) + "\n"


def write_report(
    directory: Path, report: Mapping[str, Any], readable: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write ``report.json`` and ``report.md`` (of ``readable``, if given); return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_markdown = directory / "report.json", directory / "report.md"
    as_json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    as_markdown.write_text(to_markdown(readable or report), encoding="utf-8")
    return [as_json, as_markdown]
