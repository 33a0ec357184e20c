from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from assistant.errors import AssistantError, BadInputError, ModelError
from assistant.history import History
from assistant.paths import database_path, ensure_data_directory
from assistant.testing import ScriptedChatModel
from assistant.tui import app as app_module
from assistant.tui.app import FrontdeskApp, run_app
from assistant.tui.screenshots import SCENES, take
from tests.support.interface import OnePlugin, chat, make_app, ready, screen_text


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FrontdeskApp]:
    """Record the applications that run_app would open; no terminal is needed."""
    apps: list[FrontdeskApp] = []

    def run(self: FrontdeskApp) -> None:
        apps.append(self)

    monkeypatch.setattr(FrontdeskApp, "run", run)
    return apps


def test_run_app_opens_the_history(opened: list[FrontdeskApp]) -> None:
    assert run_app() == 0
    assert opened[0].chat.history.path == database_path()
    assert opened[0].chat.conversation_id is None


async def test_answers_that_a_dead_program_left_are_recovered_before_they_are_shown(
    history: History,
) -> None:
    conversation = history.create_conversation("m", "")
    question = history.add_user_message(conversation.id, "Anybody there?")
    answer = history.begin_answer(question.id, "m", {})
    history.update_answer(answer.id, "Half of")
    history._streaming.clear()  # as if another process had begun it
    with history.writing() as connection:
        connection.execute("UPDATE message SET process = 0")
    async with make_app(history).run_test() as pilot:
        await ready(pilot)
        assert "Interrupted" in screen_text(pilot)


def test_nothing_but_what_the_first_screen_shows_is_imported_for_it() -> None:
    code = (
        "import sys, assistant.tui.app as a\n"
        "late = ('sqlite_utils', 'numpy', 'onnxruntime', 'tiktoken', 'textual.widgets._markdown',"
        " 'markdown_it', 'assistant.plugin_host', 'tomllib',"
        " 'assistant.tui.screens.search', 'assistant.tui.screens.help')\n"
        "sys.exit(' '.join(name for name in late if name in sys.modules) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_run_app_takes_a_prefix_of_a_conversations_id(opened: list[FrontdeskApp]) -> None:
    ensure_data_directory()
    history = History(database_path())
    conversation = history.create_conversation("m", "")
    history.close()
    run_app(conversation_id=conversation.id[:6])
    assert opened[0].chat.conversation_id == conversation.id
    with pytest.raises(BadInputError):
        run_app(conversation_id="nothing")


def test_a_data_directory_that_cannot_be_used_means_a_private_session(
    opened: list[FrontdeskApp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FRONTDESK_DATA", str(tmp_path / "file" / "data"))
    run_app()
    assert opened[0].chat.history.path is None
    assert "private" in opened[0].chat._notice


def test_a_missing_bundle_is_an_error_a_person_can_read() -> None:
    with pytest.raises(ModelError, match="support-chat"):
        app_module.model_loader(None)()


def test_a_crash_is_one_line_for_people_and_a_file_for_the_rest(
    opened: list[FrontdeskApp], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(self: FrontdeskApp) -> None:
        self.crash = ZeroDivisionError("oh")

    monkeypatch.setattr(FrontdeskApp, "run", crash)
    run_app()
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    path = ensure_data_directory() / "crash.log"
    assert str(path) in err
    assert "ZeroDivisionError: oh" in path.read_text()


def test_importing_the_interface_loads_neither_a_model_runtime_nor_a_plugin() -> None:
    code = "import sys, assistant.tui.app; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    loaded = set(run.stdout.split())
    assert not loaded & {"torch", "onnxruntime", "numpy", "tiktoken", "training", "plugins"}


async def test_the_first_paint_does_not_wait_for_the_model(history: History) -> None:
    go = Event()
    app = make_app(history)
    app.chat._load_model = lambda: go.wait() and ScriptedChatModel()  # type: ignore[assignment,return-value]
    async with app.run_test(size=(100, 30)) as pilot:
        assert "How can I reset my password?" in screen_text(pilot)
        assert chat(pilot).model is None
        go.set()
        await ready(pilot)


async def test_typing_goes_into_the_composer_wherever_the_focus_is(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await pilot.press("up", "h", "i")  # up moves to the examples
        assert chat(pilot).desk.composer.text == "hi"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_every_screenshot_can_be_taken(scene, tmp_path: Path) -> None:
    path = await take(scene, tmp_path, ScriptedChatModel, OnePlugin())
    svg = path.read_text()
    assert svg.startswith("<svg")
    assert "Frontdesk" in svg
    assert "@font-face" not in svg


async def test_a_screenshot_of_a_check_that_failed_is_not_taken(tmp_path: Path) -> None:
    def analyze(*_: object) -> None:
        raise ModelError("The model email-spam is missing", "Install it")

    [scene] = [scene for scene in SCENES if scene.name == "check"]
    with pytest.raises(AssistantError, match="email-spam is missing"):
        await take(scene, tmp_path, ScriptedChatModel, OnePlugin(analyze))  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*.svg"))
