"""A gauge of one line: its full part differs from the rest in form, not in colour alone."""

from __future__ import annotations

from textual.content import Content


def gauge(full: int, width: int, tone: str) -> Content:
    """Return a gauge of a width in cells, of which some are full."""
    return Content.assemble(("━" * full, tone), ("─" * (width - full), "$foreground 30%"))
