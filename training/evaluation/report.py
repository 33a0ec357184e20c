"""Reports for people (Markdown, one HTML file) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.text import sanitize_line
from training.evaluation.html import Section, facts_of, to_html
from training.plots import curves, loss_png, reliability_png

RELIABILITY = "reliability"
INTERVALS = "intervals"


def sections(report: Mapping[str, Any]) -> list[Section]:
    """Return a report's parts: its facts, then one for each group of figures.

    A group is a mapping of names to mappings (a table) or to texts (facts); ``examples`` become
    quotes, ``reliability`` (see ``metrics.reliability``) a table with its diagram.
    """
    facts = {
        _words(name): _cell(value, 200)
        for name, value in report.items()
        if not isinstance(value, Mapping) and name not in ("title", "examples")
    }
    found = [Section("", facts=facts)] if facts else []
    for name, value in report.items():
        if not isinstance(value, Mapping) or not value:
            continue
        title = _words(name).capitalize()
        if all(isinstance(inner, str) for inner in value.values()):
            found.append(Section(title, facts={str(k): v for k, v in value.items()}))
            continue
        nested = all(isinstance(inner, Mapping) for inner in value.values())
        section = Section(title, table=_upright(_rows(value if nested else {name: value}, "of")))
        if name == RELIABILITY:
            section.image = reliability_png(value)
        found.append(section)
    quotes = [(str(e["question"]), str(e["answer"])) for e in report.get("examples", [])]
    if quotes:
        found.append(Section("Examples", quotes=quotes))
    return found


def table(rows: Mapping[str, Mapping[str, Any]], first: str) -> str:
    """Return a Markdown table of the numbers in ``rows``, one line a row."""
    columns, lines = _rows(rows, first)
    return _markdown_table(columns, lines)


def _rows(rows: Mapping[str, Mapping[str, Any]], first: str) -> tuple[list[str], list[list[str]]]:
    columns: list[str] = []
    for row in rows.values():
        columns += [k for k, v in row.items() if k not in columns and isinstance(v, int | float)]
    lines = [[_cell(name), *(_cell(row.get(c)) for c in columns)] for name, row in rows.items()]
    return [first, *map(_words, columns)], lines


def _upright(table: tuple[list[str], list[list[str]]]) -> tuple[list[str], list[list[str]]]:
    """Turn a table of many figures of few things: figures downwards fit a page."""
    columns, lines = table
    if len(columns) <= 8 or len(lines) > 6:
        return table
    turned = [list(cells) for cells in zip(columns, *lines, strict=True)]
    return turned[0], turned[1:]


def _markdown_table(columns: list[str], lines: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(columns), "|---" * len(columns) + "|", *map(line, lines)])


def _words(name: Any) -> str:
    return sanitize_line(str(name)).replace("_", " ")


def _cell(value: Any, limit: int = 60) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return sanitize_line(str(value), limit)


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return a report as Markdown, see ``sections``."""
    return _markdown(str(report.get("title", "Report")), sections(report))


def _markdown(title: str, parts: list[Section], images: Mapping[int, str] | None = None) -> str:
    lines = [f"# {sanitize_line(title)}"]
    for number, part in enumerate(parts):
        if part.title:
            lines += ["", f"## {sanitize_line(part.title)}"]
        if part.facts:
            lines.append("")
            lines += [f"- {sanitize_line(k)}: {sanitize_line(v)}" for k, v in part.facts.items()]
        if part.table is not None:
            lines += ["", _markdown_table(*part.table)]
        if images and number in images:
            lines += ["", f"![{part.title}]({images[number]})"]
        if part.link:
            lines += ["", f"[All of it]({part.link})"]
        for question, answer in part.quotes:
            lines += ["", f"**{sanitize_line(question, 300)}**"] if question else []
            lines += ["", f"> {sanitize_line(answer, 1200)}"]
    return "\n".join(lines) + "\n"


def run_sections(directory: Path) -> list[Section]:
    """Return what a run's folder tells: its curves, samples, settings, machine and data."""
    found = []
    rows = _json_lines(directory / "metrics.jsonl")
    drawn = curves(rows)
    if drawn:
        found.append(Section("Loss", image=loss_png(drawn)))
    told = [
        (f"step {row['step']}: {prompt}", str(prompt) + str(text))
        for row in rows
        for prompt, text in (row.get("samples") or {}).items()
    ]
    if told:
        found.append(Section("Samples while training", quotes=told))
    config = _json(directory / "config.json")
    if config:
        command = {"command": " ".join(map(str, config.get("argv", [])))}
        found.append(Section("Settings", facts=command | facts_of(config.get("config", {}))))
    environment = _json(directory / "environment.json")
    if environment:
        found.append(Section("Where it ran", facts=facts_of(environment)))
    data = _json(directory / "data.json")
    if data:
        found.append(Section("Data (sha256)", facts=facts_of(data)))
    return found


def write_report(
    directory: Path,
    report: Mapping[str, Any],
    readable: Mapping[str, Any] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write ``report.json``, ``report.md`` and ``report.html``; return their paths.

    Markdown and HTML show ``readable``, if given, and in a run's folder what that tells; the
    pictures are in the HTML file, and beside the Markdown.

    Args:
        pictures: PNG files by the name of the group that they belong to.
        links: other reports, by the name of the group, relative to ``directory``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_markdown, as_html = (
        directory / f"report.{kind}" for kind in ("json", "md", "html")
    )
    as_json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = readable or report
    title = str(shown.get("title", "Report"))
    parts = sections(shown) + run_sections(directory)
    for name, picture in (pictures or {}).items():
        _part(parts, name).image = picture
    for name, link in (links or {}).items():
        _part(parts, name).link = link
    images = {}
    for number, part in enumerate(parts):
        if part.image:
            images[number] = f"{part.title.lower().replace(' ', '-')}.png"
            (directory / images[number]).write_bytes(part.image)
    as_markdown.write_text(_markdown(title, parts, images), encoding="utf-8")
    as_html.write_text(to_html(title, parts), encoding="utf-8")
    return [as_json, as_markdown, as_html]


def _part(parts: Sequence[Section], name: str) -> Section:
    title = _words(name).capitalize()
    return next(part for part in parts if part.title == title)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
