"""What Textual keeps of widgets that have left the screen."""

from __future__ import annotations

from textual._styles_cache import StylesCache


def forget_painted_lines() -> None:
    """Let go of the painted lines of removed widgets.

    The method below remembers its last 1,024 results and with each of them the widget's cache of
    painted lines: twenty megabytes after a hundred answers. What is on the screen is remembered
    again when it is painted.
    """
    remembered = getattr(StylesCache.get_inner_outer, "cache_clear", None)
    if remembered is not None:
        remembered()
