"""How fast the interface is, and how much it holds: ``python -m benchmarks.tui [PART]...``.

Parts: start, typing, memory, history, soak. The model is a scripted one, so that the figures are
the interface's alone; ``start --real`` starts the program as it ships. Each figure is the median
of several runs, with the slowest in brackets.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PARTS = ("start", "typing", "memory", "history", "soak")
APP = "tests.support.scripted_app"
LETTER = b"~"  # occurs in no answer and in no control sequence
READY = b"sk anything"  # the cursor may stand on the first letter
PATIENCE = 900  # seconds: the machine may be busy with other work


def show(name: str, seconds: list[float]) -> None:
    """Print one row: median and slowest, in milliseconds."""
    median, worst = 1000 * statistics.median(seconds), 1000 * max(seconds)
    print(f"{name:<58} {median:8.1f} ms  (slowest {worst:.1f})", flush=True)


WORDS = (
    "parcel", "password", "invoice", "printer", "refund", "window", "account", "delivery", "of",
    "address", "the", "to", "a", "is", "on", "at", "how", "can", "where", "when", "my", "your",
)  # fmt: skip


def fill(conversations: int, messages: int) -> None:
    """Write conversations of that many messages into the database of the data directory."""
    from assistant.history import History
    from assistant.paths import database_path, ensure_data_directory

    ensure_data_directory()
    history = History(database_path())
    talks, said = [], []
    for number in range(conversations):
        day = f"2025-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:00:00.000000+00:00"
        name = f"{number:016x}"
        title = f"Question {number} about {WORDS[number % 8]}"
        talks.append((name, title, day, day, f"{name}-{messages - 1}"))
        for n in range(messages):
            text = " ".join(WORDS[(number * 7 + n * 3 + k * k) % len(WORDS)] for k in range(40))
            parent = f"{name}-{n - 1}" if n else None
            role = "assistant" if n % 2 else "user"
            said.append((f"{name}-{n}", name, parent, role, f"{n}: {text}", day, day))
    with history.writing() as connection:
        connection.executemany(
            "INSERT INTO conversation (id, title, created, updated, model, system_prompt, leaf_id)"
            " VALUES (?, ?, ?, ?, 'm', '', ?)",
            talks,
        )
        connection.executemany(
            "INSERT INTO message (id, conversation_id, parent_id, role, content, status, created,"
            " updated) VALUES (?, ?, ?, ?, ?, 'complete', ?, ?)",
            said,
        )
    history.close()


def start(runs: int, real: bool) -> None:
    """Time to the first paint, and until a key that was typed is on the screen."""
    from tests.support.terminal import Terminal

    paints, typed = [], []
    for run in range(runs + 1):
        began = time.perf_counter()
        terminal = Terminal(module="assistant") if real else Terminal("quick", module=APP)
        terminal.wait_for(READY)
        paint = time.perf_counter() - began
        terminal.send(b"~")
        terminal.wait_until(lambda t=terminal: b"~" in t.written)
        if run:  # the first one compiles
            paints.append(paint)
            typed.append(time.perf_counter() - began)
        terminal.send(b"\x11")
        terminal.exit_code()
    show("first paint", paints)
    show("a key that is typed then is shown after", typed)


def latencies(terminal, keys: int) -> list[float]:
    """Return the seconds between a key and the moment its letter is written to the terminal."""
    found = []
    for _ in range(keys):
        terminal.read(0.05)
        seen = len(terminal.written)
        began = time.perf_counter()
        terminal.send(LETTER)
        while LETTER not in terminal.written[seen:]:
            terminal.read(1)
        found.append(time.perf_counter() - began)
    return found


def typing(keys: int) -> None:
    """Time from a key to its letter, with 500 messages in the conversation, and while streaming."""
    from tests.support.terminal import Terminal

    fill(1, 500)
    terminal = Terminal("endless", module=APP, FRONTDESK_REDUCED_MOTION="1")
    terminal.wait_for(b"499:")
    terminal.settle()
    show("a letter with 500 messages", latencies(terminal, keys))
    terminal.send(b"\x15\x0bTell me\r")
    terminal.wait_for(b"number50")
    show("a letter with 500 messages while an answer streams", latencies(terminal, keys))
    terminal.send(b"\x1b")
    terminal.settle()
    print(f"{'resident memory then':<58} {resident(terminal.process):8.1f} MB")
    terminal.send(b"\x11")
    terminal.exit_code()


def resident(process: int) -> float:
    """Return the resident memory of a process in MB (10^6 bytes)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def memory() -> None:
    """Resident memory of the interface after an answer, without any model."""
    from tests.support.terminal import Terminal

    terminal = Terminal("quick", module=APP, FRONTDESK_REDUCED_MOTION="1")
    terminal.wait_for(READY)
    terminal.send(b"Tell me\r")
    terminal.wait_for(b"word399")
    terminal.settle()
    print(f"{'resident memory after an answer':<58} {resident(terminal.process):8.1f} MB")
    terminal.send(b"\x11")
    terminal.exit_code()


def timed(work: Callable[[], object], runs: int = 20) -> list[float]:
    """Return the seconds of each call."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found


def history() -> None:
    """Lists and searches among 10,000 conversations of 4 messages."""
    from assistant.history import History
    from assistant.paths import database_path
    from assistant.tui.widgets.sidebar import PAGE, Sidebar
    from tests.support.interface import chat, make_app

    fill(10_000, 4)
    store = History(database_path())
    show("the list of 10,000 conversations, read", timed(lambda: store.conversations(PAGE)))
    for query in ("parcel", "refund window", "how can my", "par", "zebra", "invoice at"):
        show(f"search among 40,000 messages: {query}", timed(lambda q=query: store.search(q)))

    async def shown() -> list[float]:
        async with make_app(store).run_test(size=(100, 30)) as pilot:
            sidebar = chat(pilot).query_one(Sidebar)
            found = []
            for _ in range(20):
                sidebar._shown = []
                began = time.perf_counter()
                sidebar.show(store.conversations, None)
                await pilot.pause()
                found.append(time.perf_counter() - began)
            return found

    show("the list of 10,000 conversations, read and painted", asyncio.run(shown()))
    store.close()


def soak(turns: int) -> None:
    """Ask and answer, as fast as it goes, and watch the memory of the interface."""
    from tests.support.terminal import Terminal

    terminal = Terminal("soak", module=APP, FRONTDESK_REDUCED_MOTION="1")
    terminal.wait_for(READY, PATIENCE)
    terminal.settle()
    began = time.perf_counter()
    for turn in range(1, turns + 1):
        terminal.written = b""
        terminal.send(b"Question %d\r" % turn)
        done = b"turn%ddone" % turn
        terminal.wait_until(
            lambda d=done: all(w in terminal.written for w in (d, b"ready")), PATIENCE
        )
        if turn == 10 or turn % 50 == 0 or turn == turns:
            took = time.perf_counter() - began
            print(
                f"after {turn:5} turns, {took:6.0f} s: {resident(terminal.process):6.1f} MB,"
                f" {processor_seconds(terminal.process) / turn * 1000:4.0f} ms of a core a turn",
                flush=True,
            )
    terminal.send(b"\x11")
    terminal.exit_code()


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the parts that are asked for, each in a data directory of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tui", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=5, help="starts to time")
    parser.add_argument("--keys", type=int, default=50, help="letters to type")
    parser.add_argument("--turns", type=int, default=1000, help="turns of the soak")
    parser.add_argument("--real", action="store_true", help="start the program as it ships")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # people's Python keeps what it has compiled
    work: dict[str, Callable[[], object]] = {
        "start": lambda: start(options.runs, options.real),
        "typing": lambda: typing(options.keys),
        "memory": memory,
        "history": history,
        "soak": lambda: soak(options.turns),
    }
    for part in options.parts or PARTS:
        if part not in work:
            parser.error(f"there is no part {part}")
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FRONTDESK_DATA"] = folder
            work[part]()


if __name__ == "__main__":
    main()
