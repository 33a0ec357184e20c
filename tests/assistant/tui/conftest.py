"""A private history for every test of the interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant.history import History


@pytest.fixture
def history() -> Iterator[History]:
    history = History(None)
    yield history
    history.close()
