"""What a session looks like, as plain text: ``python -m assistant.tui.recordings OUTDIR``.

Plays the real program, with the model and the plugins that are installed, in tmux
(https://github.com/tmux/tmux/wiki), keys and pastes included, and writes what the terminal shows
after each step: one text file a session. Nothing of it is drawn by hand.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from assistant.errors import AssistantError
from assistant.history import History
from assistant.paths import DATA_VARIABLE, database_path
from assistant.tui.screenshots import PASTE, fill
from assistant.tui.showing import write_all

LONGEST_WAIT = 180  # seconds
BETWEEN_KEYS = 0.15  # seconds
TRIES = 5  # to stop an answer before it is over, on a machine that is fast
QUESTIONS = (
    "How do I set up a new printer?",
    "How can I make my computer faster?",
    "How do I back up my photos?",
    "My laptop gets hot. What can I do?",
    "How do I move to a new phone?",
)


class Recorder:
    """One run of the program in a terminal of its own.

    Args:
        columns, rows: the size of the terminal.
        environment: variables the program gets besides its own.
    """

    def __init__(self, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self._socket = f"frontdesk-{secrets.token_hex(4)}"  # a tmux server of its own
        self._frames: list[str] = [f"$ assistant    ({columns} columns, {rows} rows)"]
        settings = [f"{name}={value}" for name, value in environment.items()]
        program = shlex.join(["env", *settings, sys.executable, "-m", "assistant"])
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux("-f", os.devnull, "new-session", "-d", *size, program)

    def _tmux(self, *arguments: str, text: str | None = None) -> str:
        run = subprocess.run(
            ["tmux", "-L", self._socket, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise AssistantError(f"tmux failed ({run.stderr.strip()})", "Is the program running?")
        return run.stdout

    def keys(self, *keys: str) -> None:
        """Press keys by tmux's names, e.g. "Enter", "C-f", no faster than a person does."""
        for key in keys:
            self._tmux("send-keys", key)
            time.sleep(BETWEEN_KEYS)

    def write(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    def paste(self, text: str) -> None:
        """Paste a text as a terminal does: bracketed, with CR at the ends of lines."""
        self._tmux("load-buffer", "-", text=text)
        self._tmux("paste-buffer", "-p")

    def screen(self) -> str:
        """Return what the terminal shows."""
        lines = self._tmux("capture-pane", "-p").split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def wait(self, pattern: str) -> None:
        """Wait until the terminal shows something; raises AssistantError if it does not."""
        if not self.shows(pattern, LONGEST_WAIT):
            raise AssistantError(f"The terminal never showed {pattern!r}", self.screen())

    def shows(self, pattern: str, seconds: float) -> bool:
        """Tell whether the terminal shows something within some seconds."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.screen()):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def frame(self, caption: str) -> None:
        """Keep what the terminal shows, once it has come to rest."""
        before = ""
        while before != (before := self.screen()):
            time.sleep(0.3)
        width = max(map(len, before.split("\n")), default=0)
        rule = f"── {caption} ".ljust(max(width, len(caption) + 8), "─")
        self._frames.append(f"{rule}\n{before}")

    def close(self) -> str:
        """End the program; return the recording."""
        subprocess.run(
            ["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False
        )
        return "\n\n".join(self._frames) + "\n"


@dataclass(frozen=True)
class Session:
    """A recording: its name, what is done, the size, and whether there is a history."""

    name: str
    act: Callable[[Recorder], None]
    columns: int = 80
    rows: int = 24
    filled: bool = False


def _ask(recorder: Recorder, question: str) -> None:
    recorder.write(question)
    recorder.keys("Enter")


def _first_run(recorder: Recorder) -> None:
    recorder.wait("ready")
    recorder.frame("the first start: nothing is asked, three questions are offered")
    recorder.keys("Up", "Up", "Up", "Enter")
    recorder.wait("tokens/s")
    recorder.frame("Up, Enter: the first of them, answered")
    recorder.write("/")
    recorder.frame("/ lists the commands")


def _paste_mail(recorder: Recorder) -> None:
    recorder.wait("ready")
    recorder.paste(PASTE)
    recorder.wait("Check for spam")
    recorder.frame("an e-mail is pasted: it waits until it is said what to do with it")
    recorder.keys("Enter")
    recorder.wait("probability")
    recorder.frame("Enter: the plugin has checked it; the chat model has not seen it")
    recorder.keys("PageDown", "PageDown", "PageDown")
    recorder.frame("Page Down: what to do")


def _stop(recorder: Recorder) -> None:
    recorder.wait("ready")
    for question in QUESTIONS[:TRIES]:
        _ask(recorder, question)
        recorder.wait(r"answering[\s\S]*esc Stop|tokens/s")
        recorder.keys("Escape")
        if recorder.shows("Stopped", 3):
            break
    else:
        raise AssistantError("No answer could be stopped in time", "Try FRONTDESK_THREADS=1")
    recorder.frame("Esc stops the answer; what was said stays")
    recorder.keys("C-g")
    recorder.wait(r"(?s)^(?!.*Stopped).*ready")
    recorder.frame("Ctrl+G goes on with it")
    recorder.keys("C-r")
    recorder.wait(r"(?s)Version 2 of 2.*ready")
    recorder.frame("Ctrl+R answers again; the first answer stays as a version")
    recorder.keys("M-Left")
    recorder.wait("Version 1 of 2")
    recorder.frame("Alt+Left goes back to it")


def _search(recorder: Recorder) -> None:
    recorder.wait("ready")
    recorder.keys("C-f")
    recorder.wait("Search all conversations")
    recorder.write("invoice")
    recorder.wait("found")
    recorder.frame("Ctrl+F, invoice: found in what was said on another day")
    recorder.keys("Enter")
    recorder.wait("genuine")
    recorder.frame("Enter goes to it")


def _narrow(recorder: Recorder) -> None:
    recorder.wait("ready")
    recorder.keys("C-n")
    _ask(recorder, "How can I reset my password?")
    recorder.wait(r"(?s)Handbook.*ready")
    recorder.frame("44 columns")
    recorder.keys("C-b")
    recorder.wait("Conversations")
    recorder.frame("Ctrl+B: the list lies over it and goes when one writes")
    recorder.write("/ex")
    recorder.wait("/export")
    recorder.frame("/ex")


SESSIONS = (
    Session("first-run", _first_run),
    Session("paste", _paste_mail, rows=34),
    Session("stop-continue-regenerate", _stop, rows=30),
    Session("search", _search, columns=110, filled=True),
    Session("narrow", _narrow, columns=44, rows=22, filled=True),
)


def record(session: Session, directory: Path) -> Path:
    """Play one session in a data directory of its own; return the file.

    Raises:
        AssistantError: tmux failed, or the program did not show what it should.
    """
    with TemporaryDirectory() as folder:
        os.environ[DATA_VARIABLE] = folder
        if session.filled:
            with closing(History(database_path())) as history:
                fill(history)
        recorder = Recorder(session.columns, session.rows, **{DATA_VARIABLE: folder})
        try:
            session.act(recorder)
        finally:
            text = recorder.close()
    path = directory / f"{session.name}.txt"
    path.write_text(text, encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> int:
    """Record all sessions, or those named; the paths go to stdout, errors to stderr."""
    parser = argparse.ArgumentParser(prog="python -m assistant.tui.recordings")
    parser.add_argument("directory", type=Path, help="where the text files go")
    parser.add_argument("names", nargs="*", help=", ".join(s.name for s in SESSIONS))
    options = parser.parse_args(arguments)

    def files() -> Iterator[Path]:
        if shutil.which("tmux") is None:
            raise AssistantError("tmux is not installed", "Install it with your package manager")
        for session in SESSIONS:
            if not options.names or session.name in options.names:
                yield record(session, options.directory)

    return write_all("recordings", options.directory, files)


if __name__ == "__main__":
    sys.exit(main())
