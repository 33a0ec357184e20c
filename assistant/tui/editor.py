"""Writing in the person's own editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from assistant.errors import AssistantError
from assistant.text import sanitize, sanitize_line

FALLBACKS = ("nano", "vim", "vi")


def editor_command() -> list[str]:
    """Return the command of $VISUAL or $EDITOR, else of an editor that is there.

    Raises:
        AssistantError: there is none.
    """
    for variable in ("VISUAL", "EDITOR"):
        if os.environ.get(variable, "").strip():
            try:
                return shlex.split(os.environ[variable])
            except ValueError as error:
                raise AssistantError(
                    f"${variable} cannot be read ({error})", "Set it to the name of an editor"
                ) from error
    for name in FALLBACKS:
        if shutil.which(name):
            return [name]
    raise AssistantError("There is no editor", "Set $EDITOR to the name of one")


def memory_directory() -> Path | None:
    """Return a directory of the person's that is kept in memory, None when there is none."""
    directory = os.environ.get("XDG_RUNTIME_DIR")
    return Path(directory) if directory and os.access(directory, os.W_OK) else None


def edit_text(text: str, command: list[str], directory: Path | None = None) -> str:
    """Let the person edit a text; the terminal must be free. Returns what was saved.

    The file is readable by its owner alone and removed afterwards.

    Raises:
        AssistantError: the editor cannot be started, or ended with an error.
    """
    with tempfile.TemporaryDirectory(prefix="frontdesk-", dir=directory) as folder:
        path = Path(folder) / "message.md"
        path.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*command, str(path)], check=False).returncode
        except OSError as error:
            raise AssistantError(
                f"{sanitize_line(command[0], 60)} cannot be started ({error.strerror})",
                "Set $EDITOR to the name of an editor",
            ) from error
        if code:
            raise AssistantError(
                f"{sanitize_line(command[0], 60)} ended with code {code}", "Nothing was changed"
            )
        return sanitize(path.read_text(encoding="utf-8", errors="replace")).rstrip("\n")
