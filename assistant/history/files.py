"""Where an export goes: no file is ever replaced."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from assistant.errors import BadInputError
from assistant.history.export import SUFFIXES, Form
from assistant.text import sanitize_line


def export_target(argument: str) -> tuple[Form, Path | None]:
    """Read "[FORMAT] [FILE]"; a file's ending tells the format, too.

    Raises:
        BadInputError: an unknown format.
    """
    first, _, rest = argument.strip().partition(" ")
    if first.lower() in SUFFIXES:
        form = cast(Form, first.lower())
        return form, Path(rest.strip()).expanduser() if rest.strip() else None
    if not argument.strip():
        return "markdown", None
    path = Path(argument.strip()).expanduser()
    for form, suffix in SUFFIXES.items():
        if path.suffix.lower() == suffix:
            return form, path
    raise BadInputError(
        f"There is no format {sanitize_line(first, 30)}",
        "Formats are markdown, json and text; a file ends in .md, .json or .txt",
    )


def slug(title: str) -> str:
    """Return a name for a file."""
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")[:50] or "conversation"


def free_path(path: Path | None, form: Form, name: str) -> Path:
    """Return the path, else one of that name here; with a number where it is taken."""
    wanted = path or Path(f"{name}{SUFFIXES[form]}")
    candidate, number = wanted, 2
    while candidate.exists():
        candidate = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        number += 1
    return candidate
