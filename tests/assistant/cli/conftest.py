from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from assistant.cli.main import main
from assistant.testing import ScriptedChatModel


class Terminal(io.StringIO):
    """A stdin on which somebody types."""

    def isatty(self) -> bool:
        return True


@dataclass
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: ``run("ask", "hello", stdin="piped text")``."""

    def run(*arguments: str, stdin: str | None = None, typed: str = "") -> Result:
        stream = Terminal(typed) if stdin is None else io.StringIO(stdin)
        monkeypatch.setattr("sys.stdin", stream)
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Result(int(code), captured.out, captured.err)

    return run


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedChatModel:
    """The model that every name loads."""
    scripted = ScriptedChatModel(["It is on its way."])
    monkeypatch.setattr("assistant.engine.chat_model.load_chat_model", lambda name, **_: scripted)
    return scripted
