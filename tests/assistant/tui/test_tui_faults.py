"""What must lose nothing, each in a process of its own on a terminal of its own."""

from __future__ import annotations

import errno
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from assistant.history import History, StoredMessage
from assistant.paths import database_path
from assistant.tui.drivers import LosableFile
from tests.support.terminal import Terminal

APP = "tests.support.scripted_app"
READY = b"sk anything"  # the cursor may stand on the first letter


def start(kind: str = "slow", **environment: str) -> Terminal:
    # nothing blinks, so that silence can be waited for
    terminal = Terminal(kind, module=APP, FRONTDESK_REDUCED_MOTION="1", **environment)
    terminal.wait_for(READY)
    return terminal


def leave(terminal: Terminal) -> None:
    terminal.send(b"\x11")
    assert terminal.exit_code() == 0
    assert b"Traceback" not in terminal.written


def stored() -> list[StoredMessage]:
    history = History(database_path())
    try:
        conversations = history.conversations()
        return history.messages(conversations[0].id) if conversations else []
    finally:
        history.close()


def answering(terminal: Terminal) -> None:
    """Ask, and wait until something of the answer is on the disk."""
    terminal.send(b"Tell me\r")
    terminal.wait_until(lambda: len(stored()) == 2 and "word5" in stored()[1].content)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_what_was_said_survives_however_the_program_ends(how: signal.Signals) -> None:
    terminal = start()
    answering(terminal)
    if how == signal.SIGHUP:
        terminal.hang_up()
    else:
        os.kill(terminal.process, how)
    code = terminal.exit_code()
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    assert b"Traceback" not in terminal.written
    again = start()
    again.wait_for(b"word5")
    question, answer = stored()
    assert question.content == "Tell me"
    assert answer.status == ("interrupted" if how == signal.SIGKILL else "stopped")
    assert answer.content.startswith("word0 word1 ")
    leave(again)


def test_a_terminal_closed_in_a_flood_of_output_ends_the_program() -> None:
    terminal = start("endless")
    answering_endlessly(terminal)
    os.close(terminal.descriptor)  # nobody reads any more, and the kernel sends SIGHUP
    assert terminal.exit_code() == 0
    question, answer = stored()
    assert (question.content, answer.status) == ("Tell me", "stopped")
    assert "number100 " in answer.content


def test_output_that_nobody_takes_blocks_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    writer = WriterThread(LosableFile(Gone()))

    def write() -> None:
        for _ in range(10 * MAX_QUEUED_WRITES):
            writer.write("a line")
        writer.stop()

    program = Thread(target=write, daemon=True)
    writer.start()
    program.start()
    program.join(30)
    assert not program.is_alive()


def answering_endlessly(terminal: Terminal) -> None:
    terminal.send(b"Tell me\r")
    terminal.wait_until(lambda: len(stored()) == 2 and "number100 " in stored()[1].content)


@contextmanager
def locked_for_five_seconds(terminal: Terminal) -> Iterator[None]:
    lock = sqlite3.connect(database_path(), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    end = time.monotonic() + 5
    yield
    while time.monotonic() < end:
        terminal.read(0.1)
    lock.execute("COMMIT")
    lock.close()


def test_a_database_locked_for_five_seconds_is_waited_for() -> None:
    terminal = start()
    with locked_for_five_seconds(terminal):
        terminal.send(b"Tell me\r")
    terminal.wait_until(lambda: len(stored()) == 2)
    assert stored()[0].content == "Tell me"
    leave(terminal)


def test_a_database_locked_in_the_middle_of_an_answer_loses_nothing_of_it() -> None:
    terminal = start()
    answering(terminal)
    with locked_for_five_seconds(terminal):
        pass
    terminal.wait_until(lambda: stored()[1].status == "complete", 120)
    assert stored()[1].content == " ".join(f"word{n}" for n in range(400))
    leave(terminal)


def test_a_database_that_is_locked_when_the_program_starts_delays_nothing() -> None:
    leave(start("quick"))
    lock = sqlite3.connect(database_path(), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    terminal = start("quick")
    terminal.send(b"Tell me")
    terminal.wait_for(b"Tell me")  # one can write meanwhile
    lock.execute("COMMIT")
    lock.close()
    terminal.send(b"\r")
    terminal.wait_for(b"word399")
    leave(terminal)
    assert stored()[0].content == "Tell me"


def test_a_database_locked_for_too_long_gives_the_question_back() -> None:
    terminal = start()
    lock = sqlite3.connect(database_path(), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"another")  # ... program has it in use; the words may be on two lines
    lock.execute("COMMIT")
    lock.close()
    terminal.settle()
    terminal.send(b"\r")  # it is back in the composer
    terminal.wait_until(lambda: [m.content for m in stored()[:1]] == ["Tell me"])
    leave(terminal)


def test_two_assistants_share_a_history() -> None:
    first, second = start("quick"), start("quick")
    first.send(b"From the first\r")
    first.wait_for(b"word399")
    second.send(b"From the second\r")
    second.wait_for(b"word399")
    leave(first)
    leave(second)
    history = History(database_path())
    titles = {c.title for c in history.conversations()}
    assert titles == {"From the first", "From the second"}
    assert history.integrity() == []
    history.close()


@pytest.mark.parametrize("where", ["{tmp_path}/file/data", "/sys/frontdesk"])
def test_a_home_that_cannot_be_written_means_a_private_session(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    terminal = start("quick", FRONTDESK_DATA=where.format(tmp_path=tmp_path))
    terminal.wait_for(b"private")
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"word399")
    leave(terminal)


def test_a_database_of_a_newer_version_is_left_alone_and_the_session_is_private() -> None:
    History(database_path()).close()
    connection = sqlite3.connect(database_path())
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('frontdesk.history', 'm999_from_the_future', '')"
    )
    connection.commit()
    connection.close()
    before = database_path().read_bytes()
    terminal = start("quick")
    terminal.wait_for(b"newer")
    leave(terminal)
    assert database_path().read_bytes() == before


def test_a_damaged_database_is_moved_aside_and_said_so() -> None:
    database_path().parent.mkdir(parents=True)
    database_path().write_bytes(b"this is no database, " * 500)
    terminal = start("quick")
    terminal.wait_for(b"damaged")
    leave(terminal)
    (moved,) = database_path().parent.glob("history.db.damaged-*")
    assert moved.read_bytes() == b"this is no database, " * 500


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits of POSIX")
def test_a_disk_that_fills_up_does_not_cost_the_answer() -> None:
    # a limit on the size of files is what a full disk looks like to SQLite
    code = (
        "import resource, signal, sys\n"
        "from assistant.chat import GenerationOptions\n"
        "from assistant.history import History\n"
        "from assistant.paths import database_path\n"
        "from assistant.session import ChatSession\n"
        "from assistant.testing import ScriptedChatModel\n"
        "from threading import Event\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "history = History(database_path())\n"
        "model = ScriptedChatModel((' word' * 30000,))\n"
        "session = ChatSession(history, model, GenerationOptions(max_tokens=10**6))\n"
        "import assistant.session; assistant.session.FLUSH_SECONDS = 0.05\n"
        "stream = session.ask('Tell me', Event())\n"
        "size = database_path().with_name('history.db-wal').stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50_000, size + 50_000))\n"
        "said = [event for event in stream]\n"
        "print(len(said), type(session.storage_error).__name__)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[1] == "StorageError"
    history = History(database_path())
    history.recover()
    [conversation] = history.conversations()
    assert history.messages(conversation.id)[0].content == "Tell me"
    assert history.integrity() == []
    history.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_a_disk_that_fills_up_is_said_and_costs_neither_answer_nor_program() -> None:
    import resource

    terminal = start("wordy")
    answering(terminal)
    room = database_path().with_name("history.db-wal").stat().st_size + 8192
    resource.prlimit(terminal.process, resource.RLIMIT_FSIZE, (room, -1))
    terminal.wait_for(b"word2999", 120)  # the answer goes on
    terminal.wait_for(b"I/O")  # disk I/O error: it is said
    terminal.settle()
    seen = len(terminal.written)
    terminal.send(b"Once more\r")
    terminal.wait_until(lambda: b"I/O" in terminal.written[seen:])
    question, answer = stored()
    assert question.content == "Tell me"
    assert "word2999" not in answer.content
    resource.prlimit(terminal.process, resource.RLIMIT_FSIZE, (-1, -1))  # there is room again
    terminal.settle()
    terminal.send(b"\r")  # the question is still in the composer
    terminal.wait_until(lambda: len(stored()) == 4 and stored()[3].status == "complete", 120)
    leave(terminal)
    contents = [message.content for message in stored()]
    assert contents[0::2] == ["Tell me", "Once more"]
    assert all(content.endswith("word2999") for content in contents[1::2])
    history = History(database_path())
    assert history.integrity() == []
    history.close()


def test_sleep_and_wake_bring_the_screen_back() -> None:
    terminal = start()
    answering(terminal)
    terminal.send(b"\x1a")
    terminal.wait_for(b"\x1b[?1049l")  # the shell's screen is back
    end = time.monotonic() + 30
    while time.monotonic() < end:
        state = Path(f"/proc/{terminal.process}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "T":
            break
        terminal.read(0.1)
    assert state == "T"
    seen = len(terminal.written)
    os.kill(terminal.process, signal.SIGCONT)
    terminal.wait_until(lambda: READY in terminal.written[seen:])
    leave(terminal)
    assert stored()[1].content.startswith("word0 word1 ")


def test_a_storm_of_resizes_is_weathered() -> None:
    terminal = start()
    terminal.send(b"Tell me\r")
    for n in range(60):
        terminal.resize(20 + (n * 37) % 180, 6 + (n * 13) % 50)
        terminal.read(0.02)
    terminal.resize(100, 30)
    terminal.wait_for(b"word399", 120)
    leave(terminal)


def test_a_paste_of_five_megabytes_waits_in_a_chip() -> None:
    terminal = start("quick")
    block = b"a line of a very long text, pasted by accident\r"
    terminal.send(b"\x1b[200~" + block * (5_000_000 // len(block)) + b"\x1b[201~")
    terminal.wait_for(b"Pasted text", 120)
    terminal.wait_for(b"5.0 MB")
    terminal.settle()
    terminal.send(b"\x1b")  # back to the composer, which still works
    terminal.settle()
    terminal.send(b"Still there?\r")
    terminal.wait_for(b"word399")
    leave(terminal)


def test_control_characters_of_a_model_reach_no_terminal() -> None:
    terminal = start("controls")
    terminal.settle()
    seen = len(terminal.written)
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"inert")
    terminal.settle()
    shown = terminal.written[seen:]
    for sign in (b"\x1b]0;", b"\x1b[2J", b"\x07", b"\xc2\x9b", "\u202e".encode()):
        assert sign not in shown, sign
    assert b"[red]inert[/]" in shown
    leave(terminal)


def test_endless_output_is_stopped_and_kept() -> None:
    terminal = start("endless")
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"number500", 120)
    terminal.send(b"\x1b")
    terminal.wait_for(b"Stopped")
    assert stored()[1].status == "stopped"
    assert "number500" in stored()[1].content
    leave(terminal)


def test_an_engine_that_raises_costs_one_answer() -> None:
    terminal = start("raising")
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"checks")  # the toast has it too
    assert b"\x1b[31m broke" not in terminal.written
    terminal.send(b"And now?\r")
    terminal.wait_for(b"well again")
    leave(terminal)
