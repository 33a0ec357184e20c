"""The clipboard: OSC 52 through the terminal first, which works over SSH, then local programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from textual.app import App

SECONDS = 3.0


def copy(app: App[Any], text: str) -> None:
    """Copy a text.

    The terminal is asked by OSC 52 (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html).
    tmux swallows that unless it is set up for it, so it is asked by its own command, too, and a
    program of the desktop takes it where there is one and the terminal is on this machine.
    """
    app.copy_to_clipboard(text)
    command = local_command(os.environ)
    if command and not app.is_headless:
        app.run_worker(lambda: _feed(command, text), thread=True, exit_on_error=False)


def local_command(environment: Mapping[str, str]) -> list[str]:
    """Return the program that takes a copy on its standard input; empty when there is none."""
    if environment.get("TMUX") and shutil.which("tmux"):
        return ["tmux", "load-buffer", "-w", "-"]
    if environment.get("SSH_CONNECTION"):
        return []  # its clipboard would be that of the machine at the far end
    candidates = [["pbcopy"]]
    if environment.get("WAYLAND_DISPLAY"):
        candidates.append(["wl-copy"])
    if environment.get("DISPLAY"):
        candidates += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return next((command for command in candidates if shutil.which(command[0])), [])


def _feed(command: list[str], text: str) -> None:
    try:
        subprocess.run(
            command,
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return  # OSC 52 has been sent; there is nothing more to do
