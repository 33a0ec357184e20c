"""``assistant doctor``: what is installed, what is sound, and whether anything was sent."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import click

from assistant.cli.common import DEFAULT_CHAT_MODEL, json_option, print_json
from assistant.errors import AssistantError, ExitCode
from assistant.text import sanitize_line

PACKAGES = (
    "frontdesk",
    "textual",
    "onnxruntime",
    "tiktoken",
    "numpy",
    "click",
    "pluggy",
    "sqlite-utils",
    "platformdirs",
)
_TEST_QUESTION = "Hello"
_TEST_TOKENS = 8


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int:
    """Check this installation: versions, models, database, directories, network.

    It loads every model and asks the chat model one question while it watches the process for
    network use.
    """
    from assistant.cli.main import cli
    from assistant.cli.socket_watch import watch_sockets

    watch_sockets()
    host = cli.host(ctx.find_root())
    host.call_all()
    report: dict[str, Any] = {
        "versions": versions(),
        "processor": processor(),
        "directories": directories(),
        "database": database(),
        "models": models(),
        "plugins": [
            {"name": p.name, "version": p.version, "enabled": p.enabled, "error": p.error}
            for p in host.plugins
        ],
        "terminal": terminal(),
        "network": network(),  # last: everything above was watched
    }
    if as_json:
        print_json(report)
    else:
        _print(report)
    if any(model["problem"] for model in report["models"]):
        return ExitCode.MODEL
    sound = not report["database"]["problems"] and not report["network"]["events"]
    return ExitCode.DONE if sound else ExitCode.FAILED


def versions() -> dict[str, str]:
    """Return the versions of Python, SQLite and the packages the program stands on."""
    import sqlite3
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def processor() -> dict[str, Any]:
    """Return the system, its architecture and the physical cores the engine computes with."""
    from assistant.engine.threads import available_cores

    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "physical_cores": available_cores(),
    }


def directories() -> list[dict[str, Any]]:
    """Return the directories in use and their permissions."""
    from assistant.paths import data_directory, model_directories

    return [
        {"purpose": purpose, "path": str(path), **_permissions(path)}
        for purpose, path in [
            ("data", data_directory()),
            *(("models", directory) for directory in model_directories()),
        ]
    ]


def _permissions(path: Path) -> dict[str, Any]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return {"exists": False, "mode": "", "writable": False, "note": error.strerror or ""}
    writable = os.access(path, os.W_OK)
    return {
        "exists": True,
        "mode": f"{mode:04o}",
        "writable": writable,
        "note": "writable" if writable else "not writable",
    }


def database() -> dict[str, Any]:
    """Return where the database is, what it holds and whether it is sound."""
    from assistant.cli.common import open_history
    from assistant.paths import database_path

    path = database_path()
    facts: dict[str, Any] = {
        "path": str(path), "bytes": 0, "conversations": 0, "messages": 0, "problems": []
    }  # fmt: skip
    if not path.exists():
        return facts
    try:
        with closing(open_history()) as history:
            facts["conversations"], facts["messages"] = history.counts()
            facts["problems"] = history.integrity()
        facts["bytes"] = path.stat().st_size
    except AssistantError as error:
        facts["problems"] = [str(error)]
    return facts


def models() -> list[dict[str, Any]]:
    """Load every bundle, use the chat model and the classifiers once, return what is wrong."""
    from assistant.bundle import list_bundles

    bundles, errors = list_bundles()
    rows = [{"name": "", "task": "", "problem": str(error)} for error in errors]
    rows += [
        {"name": b.name, "task": b.task, "problem": _try(b.directory, b.task)} for b in bundles
    ]
    if not any(bundle.task == "chat" for bundle in bundles):
        rows.append(
            {"name": DEFAULT_CHAT_MODEL, "task": "chat", "problem": "There is no chat model"}
        )
    return rows


def _try(directory: Path, task: str) -> str:
    try:
        if task == "chat":
            from assistant.conversation import Message
            from assistant.engine.chat_model import load_chat_model

            model = load_chat_model(str(directory))
            options = model.options.updated(max_tokens=_TEST_TOKENS)
            for _ in model.stream([Message("user", _TEST_QUESTION)], options, Event()):
                pass
        else:
            from assistant.engine.classifier import load_classifier

            load_classifier(str(directory)).score([_TEST_QUESTION])
    except AssistantError as error:
        return str(error)
    return ""


def terminal() -> dict[str, Any]:
    """Return what is known of the terminal."""
    tty = sys.stdout is not None and sys.stdout.isatty()
    columns, lines = shutil.get_terminal_size((0, 0)) if tty else (0, 0)
    return {
        "TERM": os.environ.get("TERM", ""),
        "COLORTERM": os.environ.get("COLORTERM", ""),
        "encoding": getattr(sys.stdout, "encoding", "") or "",
        "tty": tty,
        "columns": columns,
        "lines": lines,
    }


def network() -> dict[str, Any]:
    """Return what this process did on the network while the doctor ran, and how it was seen."""
    from assistant.cli.socket_watch import network_use

    return {
        "events": network_use(),
        "watched": "Python's audit events (socket, connect, bind, send, name lookup) from before "
        "the plugins were loaded, and, on Linux, the internet sockets the system lists for this "
        "process at the end",
        "not_seen": "a socket that native code opened and closed again in between, and other "
        "processes",
    }


def _print(report: dict[str, Any]) -> None:
    def line(name: str, text: object) -> None:
        click.echo(f"{sanitize_line(name):<14}{sanitize_line(str(text), 500)}")

    line("versions", ", ".join(f"{name} {value}" for name, value in report["versions"].items()))
    cpu = report["processor"]
    line("processor", f"{cpu['system']} {cpu['machine']}, {cpu['physical_cores']} physical cores")
    for directory in report["directories"]:
        state = f"mode {directory['mode']}, " if directory["exists"] else "not there: "
        line(directory["purpose"], f"{directory['path']} ({state}{directory['note']})")
    store = report["database"]
    counts = f"{store['conversations']} conversations, {store['messages']} messages"
    line("database", f"{store['path']} ({counts}, {store['bytes']} bytes)")
    for problem in store["problems"]:
        line("", f"PROBLEM: {problem}")
    for model in report["models"]:
        line("model", f"{model['name']} {model['task']}: {model['problem'] or 'loads and answers'}")
    for plugin in report["plugins"]:
        state = plugin["error"] or ("enabled" if plugin["enabled"] else "disabled")
        line("plugin", f"{plugin['name']} {plugin['version']}: {state}")
    screen = report["terminal"]
    where = f"{screen['columns']}x{screen['lines']}" if screen["tty"] else "no terminal"
    line("terminal", f"{where}, TERM={screen['TERM']}, {screen['encoding']}")
    watched = report["network"]
    if watched["events"]:
        line("network", f"USED: {', '.join(watched['events'])}")
    else:
        line("network", "this process opened no network socket and looked up no name")
    line("", f"watched: {watched['watched']}")
    line("", f"not seen: {watched['not_seen']}")
