"""A report as one HTML file: nothing is loaded from anywhere, nothing in it runs."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.text import sanitize, sanitize_line

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { line-height: 1.2 } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { font-weight: 600; vertical-align: bottom }
tr:hover td { background: var(--soft) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem }
dt { opacity: .75 } dd { margin: 0; overflow-wrap: anywhere }
blockquote { margin: .4rem 0 1.4rem; padding: .2rem 1rem; border-left: 3px solid var(--line);
  white-space: pre-wrap }
img { max-width: 100%; background: white; border-radius: 4px }
"""


@dataclass
class Section:
    """One part of a report: facts, a table, quotes, a picture, a link to another report here."""

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    table: tuple[list[str], list[list[str]]] | None = None
    quotes: list[tuple[str, str]] = field(default_factory=list)
    image: bytes = b""
    link: str = ""


def to_html(title: str, sections: Sequence[Section]) -> str:
    """Return the page; all text is escaped, control characters are gone."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # belt and braces: even a mistake in escaping could load and run nothing
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_safe(title)}</h1>",
    ]
    for section in sections:
        if section.title:
            parts.append(f"<h2>{_safe(section.title)}</h2>")
        if section.facts:
            pairs = (f"<dt>{_safe(k)}</dt><dd>{_safe(v)}</dd>" for k, v in section.facts.items())
            parts.append(f"<dl>{''.join(pairs)}</dl>")
        if section.table is not None:
            parts.append(_table(*section.table))
        if section.image:
            data = base64.b64encode(section.image).decode("ascii")
            parts.append(
                f'<p><img alt="{_safe(section.title)}" src="data:image/png;base64,{data}"></p>'
            )
        if section.link:
            parts.append(f'<p><a href="{_safe(section.link)}">All of it</a></p>')
        for question, answer in section.quotes:
            asked = f"<p><strong>{_safe(question)}</strong></p>" if question else ""
            said = html.escape(sanitize(answer))
            parts.append(f"{asked}<blockquote>{said}</blockquote>")
    return "\n".join([*parts, "</body></html>", ""])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_safe(column)}</th>' for column in columns)
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td>{_safe(cell)}</td>" for cell in rest)
        lines.append(f'<tr><td scope="row">{_safe(first)}</td>{cells}</tr>')
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _safe(text: Any) -> str:
    return html.escape(sanitize_line(str(text), 400))


def facts_of(value: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as flat ones, keys joined by dots."""
    found: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            found |= {f"{key}.{k}": v for k, v in facts_of(inner).items()}
        else:
            found[str(key)] = str(inner)
    return found
