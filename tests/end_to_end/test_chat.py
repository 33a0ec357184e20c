"""The chat bundle that ships, through both front doors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from assistant.bundle import find_bundle
from assistant.engine.chat_model import load_chat_model
from assistant.engine.golden import check_golden
from assistant.history import History
from assistant.paths import database_path, ensure_data_directory
from assistant.plugin_host import PluginHost
from assistant.tui.app import FrontdeskApp

QUESTION = "How can I reset my password?"
KEYS = {
    "text", "model", "prompt_tokens", "output_tokens", "time_to_first_token_ms",
    "tokens_per_second", "stop_reason", "conversation_id", "sources",
}  # fmt: skip


def test_a_piped_question_gets_a_json_object_and_is_remembered(program):
    result = program("ask", "--json", "--max-tokens", "24", stdin=QUESTION + "\n")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert set(answer) == KEYS
    assert "reset link" in answer["text"]
    assert answer["model"] == "support-chat"
    assert 0 < answer["output_tokens"] <= 24
    assert answer["stop_reason"] in ("end", "length")
    listed = program("history", "list", "--json")
    assert QUESTION in listed.stdout
    found = program("history", "search", "password", "--json")
    assert answer["conversation_id"] in found.stdout


def test_a_follow_up_goes_on_with_its_conversation(program):
    first = json.loads(program("ask", "--json", "--max-tokens", "8", QUESTION).stdout)
    second = json.loads(
        program(
            "ask", "--json", "--max-tokens", "8", "--conversation", first["conversation_id"],
            "And on a phone?",
        ).stdout
    )  # fmt: skip
    assert second["conversation_id"] == first["conversation_id"]
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["output_tokens"]


def test_no_history_keeps_nothing(program):
    answer = json.loads(program("ask", "--no-history", "--json", "--max-tokens", "4", "Hi").stdout)
    assert answer["conversation_id"] is None
    assert not database_path().exists()


def test_the_same_seed_says_the_same(program):
    def say(seed):
        return program("ask", "--seed", seed, "--temperature", "1.2",
                       "--max-tokens", "16", "--no-history", QUESTION).stdout  # fmt: skip

    assert say("3") == say("3") != say("4")


def test_answering_loads_neither_torch_nor_training_and_touches_no_network(tmp_path):
    code = (
        "import sys, socket\n"
        "from assistant.cli.main import main\n"
        "used = []\n"
        "watched = ('socket.connect', 'socket.bind', 'socket.sendto', 'socket.getaddrinfo')\n"
        "sys.addaudithook(lambda e, a: used.append(e) if e in watched else None)\n"
        "code = main(['ask', 'hello'])\n"
        "heavy = [m for m in ('torch', 'training', 'textual') if m in sys.modules]\n"
        "sys.exit(f'{used} {heavy}' if used or heavy else code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_answering_leaves_nothing_in_the_home_but_our_own_data(program, isolated_home, tmp_path):
    # onnxruntime would keep a device id and a queue of reports there
    assert program("ask", "--max-tokens", "4", QUESTION).returncode == 0
    assert [p for p in isolated_home.rglob("*") if p.is_file()] == []
    assert {p.name for p in (tmp_path / "data").iterdir()} <= {
        "history.db", "history.db-wal", "history.db-shm", "plugins.json",
    }  # fmt: skip


def test_every_shipped_bundle_verifies(program):
    result = program("models", "verify")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "support-chat" in result.stdout
    assert "email-spam" in result.stdout


def test_the_golden_records_are_reproduced_here(shipped_models):
    for name in ("support-chat", "email-spam"):
        assert check_golden(find_bundle(name)) == []


def test_no_shipped_file_is_too_large_for_a_public_host(shipped_models):
    sizes = {p: p.stat().st_size for p in shipped_models.rglob("*") if p.is_file()}
    assert sizes
    assert max(sizes.values()) < 95_000_000


def open_app():
    ensure_data_directory()
    history = History(database_path())
    host = PluginHost()
    host.load()
    return FrontdeskApp(history, lambda: load_chat_model("support-chat"), host), history


@pytest.mark.parametrize("size", [(100, 30), (40, 20)])
async def test_the_app_answers_with_the_real_model_and_shows_it_again_after_a_restart(size):
    app, history = open_app()
    async with app.run_test(size=size) as pilot:
        for letter in QUESTION:
            await pilot.press("space" if letter == " " else letter)
        await pilot.press("enter")
        for _ in range(400):
            await pilot.pause(0.05)
            stored = history.conversations()
            messages = history.messages(stored[0].id) if stored else []
            if len(messages) == 2 and len(messages[1].content) > 60:
                break
        await pilot.press("escape")
        for _ in range(200):
            await pilot.pause(0.05)
            messages = history.messages(history.conversations()[0].id)
            if messages[1].status != "streaming":
                break
    assert messages[0].content == QUESTION
    assert "password" in messages[1].content.lower()
    assert messages[1].status in ("stopped", "complete")
    history.close()

    app, history = open_app()
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        assert QUESTION in " ".join(str(widget.render()) for widget in app.screen.query("*"))
    history.close()
