"""A private history for every test of the interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual.pilot import Pilot, WaitForScreenTimeout

from assistant.history import History


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a terminal of all colours, wherever it runs."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(autouse=True)
def pilot_waits_for_no_removed_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pilot waits until every widget has answered; one removed meanwhile never does."""
    wait = Pilot._wait_for_screen

    async def wait_a_little(self: Pilot[object], timeout: float = 30.0) -> bool:
        try:
            return await wait(self, min(timeout, 3.0))
        except WaitForScreenTimeout:
            return False

    monkeypatch.setattr(Pilot, "_wait_for_screen", wait_a_little)


@pytest.fixture
def history() -> Iterator[History]:
    history = History(None)
    yield history
    history.close()
