from __future__ import annotations

import os
import subprocess
import sys

import pytest

from assistant.cli.main import BUILT_IN
from assistant.testing import ScriptedChatModel

HEAVY = ("textual", "onnxruntime", "numpy", "torch", "sqlite_utils", "tiktoken")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, input=""
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["ask", "--help"], ["history", "--help"], ["doctor", "--help"], ["--version"]],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    result = python(
        "import sys\nfrom assistant.cli.main import main\n"
        f"code = main({arguments!r})\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    assert (result.returncode, result.stderr) == (0, "[]\n")


def test_help_lists_every_command_and_the_exit_codes(run) -> None:
    result = run("--help")
    assert (result.code, result.err) == (0, "")
    for name in BUILT_IN:
        assert f"\n  {name} " in result.out
    assert "4 model missing or" in result.out


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_every_command_has_help(run, name: str) -> None:
    result = run(name, "-h")
    assert result.code == 0
    assert result.out.startswith(f"Usage: assistant {name}")


def test_an_unknown_command_is_wrong_usage(run) -> None:
    result = run("fly")
    assert (result.code, result.out) == (2, "")
    assert "No such command 'fly'" in result.err


def test_the_module_runs_as_a_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "assistant", "--version"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "frontdesk 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "term", "piped"),
    [([], "xterm", True), (["--plain"], "xterm", False), ([], "dumb", False), ([], "", False)],
)
def test_without_a_capable_terminal_line_mode_opens(
    run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], term: str, piped: bool
) -> None:
    opened = []
    monkeypatch.setattr("assistant.plain.run_plain", lambda *a: opened.append(a) or 0)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: not piped, raising=False)
    assert run(*arguments, "--model", "m").code == 0
    assert opened == [("m", None, True)]


def test_in_a_terminal_the_full_screen_opens(run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr("assistant.tui.app.run_app", lambda *a: opened.append(a) or 5)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("assistant.cli.main.is_terminal", lambda: True)
    assert run("--conversation", "abc").code == 5
    assert opened == [(None, "abc", True)]
    run("--no-handbook")
    assert opened[-1] == (None, None, False)


def test_output_in_an_encoding_without_the_character_is_replaced_not_an_error() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import assistant.engine.chat_model as m\n"
            "from assistant.testing import ScriptedChatModel\n"
            "from assistant.cli.main import main\n"
            "m.load_chat_model = lambda name: ScriptedChatModel(['caf\\u00e9 \\u20ac'])\n"
            "raise SystemExit(main(['ask', 'q']))",
        ],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONIOENCODING": "iso-8859-1"},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"caf\xe9 ?\n", b"")


def test_asking_opens_no_socket() -> None:
    result = python(
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda e, a: opened.append(e) if e.startswith('socket.') else None)\n"
        "import assistant.engine.chat_model as m\n"
        "from assistant.testing import ScriptedChatModel\n"
        "from assistant.cli.main import main\n"
        "m.load_chat_model = lambda name: ScriptedChatModel()\n"
        "assert main(['ask', 'q']) == 0\n"
        "assert main(['--plain']) == 0\n"
        "print(opened, file=sys.stderr)\n"
    )
    assert result.stderr.splitlines()[-1] == "[]"


def test_a_command_of_a_plugin_is_listed_apart(run, model: ScriptedChatModel) -> None:
    out = run("--help").out
    assert out.index("Commands of plugins:") > out.index("benchmark")
    assert "spam" in out[out.index("Commands of plugins:") :]
