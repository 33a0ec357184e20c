"""The text on the system's clipboard, by the program that the desktop has for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from assistant.plugin_api import BadInputError

MAX_CHARACTERS = 4_000_000
_SECONDS = 5
_HINT = "Paste the mail into the composer instead, or give a file: /spam FILE"


def read_clipboard() -> str:
    """Return the clipboard's text.

    Raises:
        BadInputError: there is no program to read it with, or no text on it.
    """
    command = _command()
    if command is None:
        raise BadInputError(
            "The clipboard cannot be read: none of wl-paste, xclip, xsel, pbpaste is here", _HINT
        )
    try:
        result = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInputError(f"The clipboard cannot be read ({command[0]} failed)", _HINT) from error
    text = result.stdout[: 4 * MAX_CHARACTERS].decode("utf-8", "replace")[:MAX_CHARACTERS]
    if result.returncode != 0 or not text.strip():
        raise BadInputError("There is no text on the clipboard", _HINT)
    return text


def _command() -> list[str] | None:
    candidates: list[list[str]] = []
    if sys.platform == "darwin":
        candidates.append(["pbpaste"])
    if sys.platform == "win32":
        candidates.append(["powershell", "-NoProfile", "-Command", "Get-Clipboard", "-Raw"])
    if os.environ.get("WAYLAND_DISPLAY"):
        candidates.append(["wl-paste", "--no-newline"])
    if os.environ.get("DISPLAY"):
        candidates.append(["xclip", "-selection", "clipboard", "-out"])
        candidates.append(["xsel", "--clipboard", "--output"])
    for command in candidates:
        if shutil.which(command[0]):
            return command
    return None
