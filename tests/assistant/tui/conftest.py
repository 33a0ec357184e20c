"""A private history for every test of the interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant.history import History


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a terminal of all colours, wherever it runs."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def history() -> Iterator[History]:
    history = History(None)
    yield history
    history.close()
