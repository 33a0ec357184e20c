"""Line mode as a process on a terminal, and between pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from assistant.history import History, StoredMessage
from assistant.paths import database_path
from tests.support.terminal import Terminal

CLI = "tests.support.scripted_cli"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


def start(kind: str, *arguments: str, **environment: str) -> Terminal:
    terminal = Terminal(kind, *arguments, module=CLI, **environment)
    terminal.wait_for(b"you> ")
    return terminal


def leave(terminal: Terminal) -> None:
    terminal.send(b"/quit\r")
    assert terminal.exit_code() == 0
    assert b"Traceback" not in terminal.written


def stored() -> list[StoredMessage]:
    history = History(database_path())
    history.recover()
    try:
        return history.messages(history.conversations()[0].id)
    finally:
        history.close()


def test_a_dumb_terminal_gets_lines_and_not_one_escape() -> None:
    terminal = start("quick", TERM="dumb")  # nobody asked for --plain
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"word399")
    leave(terminal)
    assert b"\x1b" not in terminal.written


@pytest.mark.parametrize("arguments", [["--plain"], []])
def test_between_pipes_stdout_holds_answers_alone(arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", CLI, "raising", *arguments],
        input="Tell me\nAnd now?\n",
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TERM": "xterm-256color"},
    )
    assert (run.returncode, run.stdout) == (0, "\nwell again\n")
    assert "broke" in run.stderr
    assert "\x1b" not in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


def test_ctrl_c_stops_an_answer_and_the_conversation_goes_on() -> None:
    terminal = start("endless", "--plain")
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"number80")
    terminal.send(b"\x03")
    terminal.wait_for(b"stopped; /continue goes on")
    terminal.wait_until(lambda: terminal.written.rstrip().endswith(b"you>"))
    terminal.send(b"half a line")
    terminal.wait_for(b"you> half a line")
    for _ in range(20):  # one that falls just before the line is read is lost
        terminal.settle()
        if b"/quit leaves" in terminal.written:
            break
        terminal.send(b"\x03")
    assert b"/quit leaves" in terminal.written
    leave(terminal)
    assert b"\x1b[?1049h" not in terminal.written  # the screen stays the terminal's own
    question, answer = stored()
    assert (question.content, answer.status) == ("Tell me", "stopped")
    assert "number80" in answer.content


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_was_said_survives_however_line_mode_ends(how: signal.Signals) -> None:
    terminal = start("endless", "--plain")
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"number500", 120)
    os.kill(terminal.process, how)
    terminal.exit_code()
    assert b"Traceback" not in terminal.written
    question, answer = stored()
    assert (question.content, answer.status) == ("Tell me", "interrupted")
    assert answer.content.startswith("number1 number2 ")


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_a_paste_of_several_lines_is_one_question(term: str) -> None:
    terminal = start("quick", "--plain", TERM=term)
    lines = [b"line %d" % n for n in range(7)]
    if term == "dumb":
        terminal.send(b"\r".join(lines) + b"\r")
    else:  # as terminals send it where brackets were asked for
        terminal.send(b"\x1b[200~" + b"\r".join(lines) + b"\x1b[201~")
        terminal.settle()
        terminal.send(b"\r")
    terminal.wait_for(b"word399")
    terminal.wait_until(lambda: terminal.written.rstrip().endswith(b"you>"))
    leave(terminal)
    assert [m.content for m in stored() if m.role == "user"] == [
        "\n".join(f"line {n}" for n in range(7))
    ]
