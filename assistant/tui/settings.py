"""What the interface remembers between runs: the theme, whether things may move."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTINGS_FILE = "settings.json"


@dataclass
class Settings:
    """Settings in one JSON file; a missing or damaged file means the defaults.

    Attributes:
        path: the file, or None to remember nothing.
    """

    path: Path | None = None
    _values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the file."""
        if self.path is None:
            return
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return
        if isinstance(values, dict):
            self._values = values

    def get(self, name: str, default: str) -> str:
        """Return a text setting, or ``default`` when it is missing or no text."""
        value = self._values.get(name, default)
        return value if isinstance(value, str) else default

    def set(self, name: str, value: str) -> None:
        """Change a setting and write the file; a disk that refuses is no reason to stop."""
        if self._values.get(name) == value:
            return
        self._values[name] = value
        if self.path is None:
            return
        temporary = self.path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(self._values, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self.path)
        except OSError:
            return
