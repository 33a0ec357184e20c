"""Themes of the person's own: a folder of TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from assistant.errors import BadInputError
from assistant.text import sanitize_line

COLOURS = (
    "primary", "secondary", "accent", "foreground", "background", "surface", "panel",
    "success", "warning", "error", "boost",
)  # fmt: skip


def read_theme(path: Path) -> Theme:
    """Read a theme: ``primary`` and other colours, ``dark``, a table ``variables``.

    Raises:
        BadInputError: what is wrong, and where.
    """
    place = path.name
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"The theme {place} cannot be read ({sanitize_line(str(error))})"
        ) from error
    colours = {name: data.pop(name) for name in COLOURS if name in data}
    variables, dark = data.pop("variables", {}), data.pop("dark", True)
    if data:
        known = ", ".join([*COLOURS, "dark", "variables"])
        raise BadInputError(
            f"The theme {place} has an unknown key {sanitize_line(next(iter(data)), 30)}",
            f"Keys are {known}",
        )
    if "primary" not in colours:
        raise BadInputError(f"The theme {place} has no primary colour")
    if not isinstance(dark, bool) or not isinstance(variables, dict):
        raise BadInputError(f"The theme {place}: dark is true or false, variables a table")
    for name, value in colours.items():
        try:
            Color.parse(value)
        except (ColorParseError, AttributeError, TypeError) as error:
            raise BadInputError(
                f"The theme {place}: {name} is no colour ({sanitize_line(str(value), 30)})"
            ) from error
    texts = {str(name): str(value) for name, value in variables.items()}
    return Theme(name=path.stem, dark=dark, variables=texts, **colours)


def user_themes(folder: Path) -> tuple[list[Theme], list[BadInputError]]:
    """Return the themes of a folder by name, and what is wrong with the others."""
    themes, errors = [], []
    try:
        paths = sorted(folder.glob("*.toml"))
    except OSError:
        paths = []
    for path in paths:
        try:
            themes.append(read_theme(path))
        except BadInputError as error:
            errors.append(error)
    return themes, errors
