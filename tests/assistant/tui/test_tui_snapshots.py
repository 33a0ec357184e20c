"""What the terminal shows in each state, compared with the text files in ``snapshots``.

``UPDATE_SNAPSHOTS=1 pytest tests/assistant/tui/test_tui_snapshots.py`` writes them anew: look at
the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from assistant.errors import ModelError
from assistant.history import History
from assistant.plugin_api import Report
from assistant.testing import ScriptedChatModel
from assistant.tui.app import FrontdeskApp
from tests.support.interface import (
    MAIL,
    REPORT,
    HeldModel,
    OnePlugin,
    ask,
    chat,
    make_app,
    screen_text,
    send,
    until,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"
ANSWER = """Open **Settings**, then:

1. Choose *Account*.
2. Press `Reset`.

| key | does |
|---|---|
| Esc | stops |

```sh
passwd --expire
```

See [the page](https://example.org/reset)."""
QUESTION = "How can I reset my password?"

Act = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.db")
    yield history
    history.close()


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """No toast goes by itself, and every seed is the same."""
    notify = FrontdeskApp.notify

    def stays(self: FrontdeskApp, message: str, **options: Any) -> None:
        notify(self, message, **{**options, "timeout": 1000})

    monkeypatch.setattr(FrontdeskApp, "notify", stays)
    monkeypatch.setattr("assistant.session.secrets.randbelow", lambda _: 1234567890)


@dataclass
class State:
    """A state of the interface: how it comes about, at which sizes, with which model."""

    name: str
    act: Act
    sizes: tuple[tuple[int, int], ...] = ((80, 24),)
    model: Callable[[], Any] = lambda: ScriptedChatModel((ANSWER, "Another answer."))
    plugins: OnePlugin = field(default_factory=OnePlugin)


async def settled(pilot: Pilot[None]) -> str:
    """Return what is shown once it no longer changes, dates made the same everywhere."""
    before, same = "", 0
    while same < 3:
        await pilot.pause(0.03)
        now = screen_text(pilot)
        same = same + 1 if now == before else 0
        before = now
    return re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", _no_date, before)


def _no_date(found: re.Match[str]) -> str:
    return re.sub(r"\d", "0", found[0])


async def nothing(pilot: Pilot[None]) -> None:
    await pilot.pause()


async def answered(pilot: Pilot[None]) -> None:
    await ask(pilot, QUESTION)


def keys(*names: str, after: Act = answered) -> Act:
    async def act(pilot: Pilot[None]) -> None:
        await after(pilot)
        for name in names:
            await pilot.press(name)
            await pilot.pause()

    return act


def typed(text: str, after: Act = nothing) -> Act:
    async def act(pilot: Pilot[None]) -> None:
        await after(pilot)
        chat(pilot).desk.composer.write(text)

    return act


def sent(text: str, after: Act = nothing) -> Act:
    async def act(pilot: Pilot[None]) -> None:
        await after(pilot)
        await send(pilot, text)

    return act


async def streaming(pilot: Pilot[None]) -> None:
    await send(pilot, QUESTION)
    await until(pilot, lambda: chat(pilot).status.status.state == "answering")


async def stopped(pilot: Pilot[None]) -> None:
    await streaming(pilot)
    await pilot.press("escape")
    await until(pilot, lambda: not chat(pilot).busy)


async def two_versions(pilot: Pilot[None]) -> None:
    await ask(pilot, QUESTION)
    await pilot.press("ctrl+r")
    await until(pilot, lambda: not chat(pilot).busy)


async def pasted(pilot: Pilot[None], text: str = MAIL) -> None:
    pilot.app.post_message(events.Paste(text))
    await until(pilot, lambda: chat(pilot).query("PasteChip"))


async def checking(pilot: Pilot[None]) -> None:
    await pasted(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: chat(pilot).query("Progress"))


async def checked(pilot: Pilot[None]) -> None:
    await pasted(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: chat(pilot).query("ReportCard"))


async def too_long(pilot: Pilot[None]) -> None:
    await send(pilot, "word " * 60)
    await until(pilot, lambda: chat(pilot).query("TooLong"))


async def quoted(pilot: Pilot[None]) -> None:
    await answered(pilot)
    await pilot.press("shift+tab", "q")


async def searched(pilot: Pilot[None]) -> None:
    await answered(pilot)
    await pilot.press("ctrl+f", *"reset")


def held() -> HeldModel:
    return HeldModel(("Open the settings.",))


def checks_forever(text: str, progress: Callable[[float], None], cancel: Event) -> Report:
    progress(0.5)
    cancel.wait(20)
    return REPORT


WIDTHS = ((40, 20), (50, 24), (80, 24), (120, 36), (200, 60))
STATES = (
    State("welcome", nothing, WIDTHS),
    State("no-model", nothing, model=lambda: ModelError("No bundle is named x", "See models list")),
    State("answer", answered, WIDTHS),
    State("streaming", streaming, model=held),
    State("stopped", stopped, model=held),
    State("failed", sent(QUESTION), model=lambda: ScriptedChatModel((RuntimeError("it broke"),))),
    State("message", keys("shift+tab", after=two_versions), ((80, 24), (40, 20))),
    State("details", keys("shift+tab", "i", after=two_versions)),
    State("version-before", keys("alt+left", after=two_versions)),
    State("editing", keys("up")),
    State("quoting", quoted),
    State("several-lines", typed("one\ntwo\nthree")),
    State("commands", typed("/"), ((80, 24), (40, 20))),
    State("command-words", typed("/options t")),
    State("command-unknown", sent("/serch"), ((80, 24), (40, 20))),
    State("private", sent("/private")),
    State("plugins", sent("/plugins")),
    State("paste", pasted, ((80, 24), (40, 20))),
    State("check", checking, plugins=OnePlugin(checks_forever)),
    State("report", checked, ((80, 40), (40, 40))),
    State("too-long", too_long, ((80, 24), (40, 20)), lambda: ScriptedChatModel(context_length=50)),
    State("sidebar", keys("ctrl+b"), ((50, 24), (80, 24))),
    State("search", searched, ((80, 24), (40, 20))),
    State("search-nothing", keys("ctrl+f", *"zebra")),
    State("help", keys("f1", after=nothing), ((80, 24), (40, 20))),
    State("palette", keys("ctrl+p")),
    State("jump", keys("alt+j")),
    State("context", keys("ctrl+l"), ((80, 24), (40, 20))),
    State("options", sent("/options"), ((80, 24), (40, 20))),
    State("options-wrong", keys(*"9", after=sent("/options"))),
    State("system", sent("/system")),
    State("model", sent("/model")),
    State("rename", keys("ctrl+b", "f2")),
    State("delete", keys("ctrl+b", "d")),
)
CASES = [
    pytest.param(state, size, id=f"{state.name}-{size[0]}x{size[1]}")
    for state in STATES
    for size in state.sizes
]


@pytest.mark.parametrize(("state", "size"), CASES)
async def test_the_screen_of_each_state(
    history: History, state: State, size: tuple[int, int]
) -> None:
    app = make_app(history, state.model(), plugins=state.plugins)
    async with app.run_test(size=size, notifications=True) as pilot:
        screen = chat(pilot)
        await until(pilot, lambda: screen.plugins_loaded and (screen.model or screen.model_error))
        pilot.app.animation_level = "none"
        await state.act(pilot)
        shown = "\n".join(line.rstrip() for line in (await settled(pilot)).split("\n")) + "\n"
    path = SNAPSHOTS / f"{state.name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


def test_no_snapshot_is_left_of_a_state_that_is_gone() -> None:
    wanted = {f"{state.name}-{w}x{h}.txt" for state in STATES for w, h in state.sizes}
    assert {path.name for path in SNAPSHOTS.glob("*")} == wanted
