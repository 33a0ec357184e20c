"""What must lose nothing: killed programs, full-screen exits, damaged models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant.history import History
from assistant.paths import database_path
from tests.end_to_end.conftest import REPOSITORY
from tests.support.terminal import Terminal

LONG = "Tell me everything about passwords, in many words."


def start(*arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "assistant", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
    )


def wait_until_something_is_stored() -> None:
    """Answers are flushed twice a second; one that has ended could not be interrupted."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        history = History(database_path())
        messages = history.messages(history.conversations()[0].id)
        history.close()
        if len(messages) == 2 and messages[1].content:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was stored")


@pytest.mark.parametrize(
    ("how", "status"), [(signal.SIGKILL, "interrupted"), (signal.SIGINT, "stopped")]
)
def test_what_was_said_survives_the_death_of_the_program(program, tmp_path, how, status):
    process = start("ask", "--max-tokens", "400", LONG, cwd=tmp_path)
    assert process.stdout is not None
    seen = os.read(process.stdout.fileno(), 10)
    wait_until_something_is_stored()
    process.send_signal(how)
    rest, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    program("ask", "--max-tokens", "2", "Another question")  # recovers at its start
    (conversation,) = [
        c
        for c in json.loads(program("history", "list", "--json").stdout)
        if c["title"].startswith("Tell me everything")
    ]
    exported = program("history", "export", conversation["id"], "--format", "json").stdout
    (only,) = json.loads(exported)
    messages = only["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"]
    assert messages[1]["status"] == status
    said = (seen + rest).decode("utf-8", "ignore")
    assert messages[1]["content"]
    assert said.startswith(messages[1]["content"][:20])


@pytest.mark.parametrize("columns", [100, 40])
@pytest.mark.parametrize("way_out", [b"\x03", b"\x11", signal.SIGTERM])
def test_the_interface_leaves_the_terminal_as_it_found_it(columns, way_out):
    terminal = Terminal(columns=columns, rows=24)
    terminal.wait_for(b"Ask anything")
    if isinstance(way_out, bytes):
        terminal.send(way_out)
    else:
        os.kill(terminal.process, way_out)
    assert terminal.exit_code() == 0
    assert b"\x1b[?1049h" in terminal.written
    assert b"\x1b[?1049l" in terminal.written.rpartition(b"\x1b[?1049h")[2]
    assert b"Traceback" not in terminal.written


def test_a_damaged_model_is_one_clear_line_and_exit_code_4(program, tmp_path, shipped_models):
    copy = tmp_path / "damaged"
    shutil.copytree(shipped_models / "support-chat", copy / "support-chat")
    weights = sorted((copy / "support-chat").glob("model.onnx.*.data"))[-1]
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(bytes(data))
    result = program("ask", "Hi", FRONTDESK_MODELS=str(copy))
    assert (result.returncode, result.stdout) == (4, "")
    assert weights.name in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2


def test_a_missing_model_names_the_place_and_what_to_do(program, tmp_path):
    result = program("ask", "Hi", FRONTDESK_MODELS=str(tmp_path / "none"))
    assert result.returncode == 4
    assert str(tmp_path / "none") in result.stderr


def test_a_prompt_longer_than_the_context_is_refused_with_numbers(program):
    result = program("ask", stdin="word " * 5000)
    assert result.returncode == 3
    assert "2048" in result.stderr


def test_a_data_directory_that_cannot_be_written_does_not_cost_the_answer(program, tmp_path):
    (tmp_path / "file").write_text("")
    result = program(
        "ask", "--max-tokens", "4", "hello", FRONTDESK_DATA=str(tmp_path / "file" / "data")
    )
    assert result.returncode == 0
    assert result.stdout.strip()
    assert "data" in result.stderr


def test_an_e_mail_pasted_into_a_real_terminal_is_recognised_and_checked():
    mail = (REPOSITORY / "tests" / "data" / "phishing_html.eml").read_bytes()
    terminal = Terminal(columns=100, rows=40)
    terminal.wait_for(b"Ask anything")
    # as terminals send it: bracketed, and with CR at the ends of lines
    terminal.send(b"\x1b[200~" + mail.replace(b"\n", b"\r") + b"\x1b[201~")
    terminal.wait_for(b"Check for spam")
    terminal.settle()  # the button is painted just before it gets the focus
    terminal.send(b"\r")
    terminal.wait_for(b"This looks like spam")
    terminal.send(b"\x11")
    assert terminal.exit_code() == 0
