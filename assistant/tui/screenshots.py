"""Screenshots for the documentation: ``python -m assistant.tui.screenshots OUTDIR``.

The pictures show the real program: the model and the plugins that are installed, and what they
answer, in a history of its own with a few questions of earlier days. SVG, one file a scene.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from textual import events
from textual.pilot import Pilot
from textual.widgets import Button

from assistant.chat import ChatModel
from assistant.errors import AssistantError
from assistant.history import History
from assistant.tui.app import FrontdeskApp, Plugins, model_loader
from assistant.tui.showing import write_all
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.report_card import ReportCard
from assistant.tui.widgets.welcome import EXAMPLES

SIZE = (100, 30)
LONGEST_WAIT = 30  # seconds
PINNED_DAY = 9
EARLIER = (
    (9, "Steps to set up a printer"),
    (4, "What is two-factor sign-in?"),
    (3, "Export a calendar"),
    (1, "Is this invoice genuine?"),
    (1, "Battery drains overnight"),
)
PASTE = """From: "Account Security" <security@account-check.example>
To: you@example.org
Subject: Your account will be suspended within 24 hours
Date: Mon, 3 Mar 2025 08:12:44 +0000
Content-Type: text/plain; charset=utf-8

Dear customer,

we noticed an unusual sign-in to your account. Confirm your password within
24 hours or your account will be suspended:

  http://account-check.example/confirm

Thank you for your cooperation.
"""
LETTER = """From: Ingrid Solberg <ingrid@solberg.example>
To: you@example.org
Subject: Saturday
Date: Wed, 5 Mar 2025 19:40:02 +0100

Hi,

are you still coming on Saturday? Jonas brings the bread, so a salad would be great.
We start at six, but come earlier if you like to help in the garden.

See you, Ingrid
"""
PICTURES = """From: Hello <hello@pictures.example>
To: you@example.org
Subject: Hi
Date: Thu, 6 Mar 2025 03:11:59 +0000
Content-Type: text/html; charset=utf-8

<html><body><img src="cid:1"><img src="cid:2"></body></html>
"""


def without_web_fonts(svg: str) -> str:
    """Drop the fonts that Textual's pictures would fetch; any monospace font shows them."""
    return re.sub(r"@font-face\s*{[^}]*}\s*", "", svg)


@dataclass(frozen=True)
class Scene:
    """A picture: a name, what is done before it is taken, its size in cells and its theme."""

    name: str
    act: Callable[[Pilot[None], FrontdeskApp], Awaitable[None]]
    size: tuple[int, int] = SIZE
    theme: str = "frontdesk-dark"


async def take(
    scene: Scene, directory: Path, load_model: Callable[[], ChatModel], plugins: Plugins
) -> Path:
    """Play one scene and write its picture; return the file."""
    with TemporaryDirectory() as folder, closing(History(Path(folder) / "history.db")) as history:
        fill(history)
        app = FrontdeskApp(history, load_model, plugins)
        async with app.run_test(size=scene.size) as pilot:
            app.theme = scene.theme
            await _settle(pilot, app)
            await app.chat.action_new()
            if app.chat.model_error is not None:
                raise app.chat.model_error
            await scene.act(pilot, app)
            await _settle(pilot, app)
            path = directory / f"{scene.name}.svg"
            picture = without_web_fonts(app.export_screenshot(title="Frontdesk"))
            path.write_text(picture, encoding="utf-8")
            return path


def fill(history: History) -> None:
    """Write questions of earlier days, so that the list is one."""
    now = datetime.now(UTC)
    for days, question in EARLIER:
        conversation = history.create_conversation("support-chat", "")
        history.add_user_message(conversation.id, question)
        moment = (now - timedelta(days=days)).isoformat(timespec="microseconds")
        with history.writing() as connection:
            for statement in (
                "UPDATE conversation SET updated = ? WHERE id = ?",
                "UPDATE message SET created = ? WHERE conversation_id = ?",
            ):
                connection.execute(statement, (moment, conversation.id))
        if days == PINNED_DAY:
            history.pin(conversation.id)


async def _settle(pilot: Pilot[None], app: FrontdeskApp) -> None:
    """Wait until no worker runs and everything is painted."""
    await pilot.pause()
    while any(not worker.is_finished for worker in app.workers):
        await pilot.pause(0.05)
    await pilot.pause(0.2)


async def _nothing(pilot: Pilot[None], app: FrontdeskApp) -> None:
    await pilot.pause()


async def _ask(pilot: Pilot[None], app: FrontdeskApp) -> None:
    await app.chat.ask(EXAMPLES[0])


async def _until(pilot: Pilot[None], what: str, condition: Callable[[], object]) -> None:
    """Wait for a state of the interface; under load it comes when it comes."""
    for _ in range(LONGEST_WAIT * 20):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssistantError(f"{what} did not appear within {LONGEST_WAIT} seconds", "Try again")


async def _paste(pilot: Pilot[None], app: FrontdeskApp, text: str = PASTE) -> None:
    app.post_message(events.Paste(text))
    await _until(pilot, "The paste", lambda: isinstance(app.focused, Button))


async def _check(pilot: Pilot[None], app: FrontdeskApp, text: str = PASTE) -> None:
    await _paste(pilot, app, text)
    if not app.chat.query(PasteChip).first().pasted.analyzers:
        raise AssistantError("No plugin recognises the mail", "Enable the plugin email_spam")
    await pilot.press("enter")
    await _until(pilot, "The check", lambda: app.chat.query("ReportCard, Notice"))
    await _settle(pilot, app)
    if not app.chat.query(ReportCard):
        notice = app.chat.query(Notice).last()
        raise AssistantError(notice.text, notice.hint)


async def _commands(pilot: Pilot[None], app: FrontdeskApp) -> None:
    await _ask(pilot, app)
    await _settle(pilot, app)
    await pilot.press("/")


async def _search(pilot: Pilot[None], app: FrontdeskApp) -> None:
    await _ask(pilot, app)
    await _settle(pilot, app)
    await pilot.press("ctrl+f", *"password")


async def _message(pilot: Pilot[None], app: FrontdeskApp) -> None:
    await _ask(pilot, app)
    await _settle(pilot, app)
    await pilot.press("ctrl+r")
    await _settle(pilot, app)
    await pilot.press("shift+tab")


async def _context(pilot: Pilot[None], app: FrontdeskApp) -> None:
    app.chat.desk.composer.write(EXAMPLES[0])
    await pilot.press("ctrl+l")


async def _options(pilot: Pilot[None], app: FrontdeskApp) -> None:
    app.chat.action_options("")
    await pilot.pause()


SCENES = (
    Scene("welcome", _nothing),
    Scene("answer", _ask),
    Scene("answer-light", _ask, theme="frontdesk-light"),
    Scene("answer-small", _ask, size=(40, 20)),
    Scene("paste", _paste),
    Scene("check", _check, size=(100, 58)),
    Scene("check-fine", partial(_check, text=LETTER), size=(100, 44)),
    Scene("check-unsure", partial(_check, text=PICTURES)),
    Scene("commands", _commands),
    Scene("search", _search),
    Scene("message", _message, size=(100, 34)),
    Scene("context", _context),
    Scene("options", _options),
)


def main(arguments: list[str] | None = None) -> int:
    """Take all pictures; the paths go to stdout, errors to stderr."""
    parser = argparse.ArgumentParser(prog="python -m assistant.tui.screenshots")
    parser.add_argument("directory", type=Path, help="where the SVG files go")
    parser.add_argument("--model", help="name or path of a chat bundle")
    options = parser.parse_args(arguments)
    from assistant.plugin_host import PluginHost

    def files() -> Iterator[Path]:
        model = model_loader(options.model)()
        for scene in SCENES:
            yield asyncio.run(take(scene, options.directory, lambda: model, PluginHost()))

    return write_all("screenshots", options.directory, files)


if __name__ == "__main__":
    sys.exit(main())
