"""Editing, copying, quoting, switching: what can be done to one message."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual.widgets import Button

from assistant.errors import AssistantError
from assistant.history import History
from assistant.testing import ScriptedChatModel
from assistant.tui import clipboard
from assistant.tui.editor import edit_text, editor_command
from assistant.tui.recall import Recall
from assistant.tui.widgets.said import ActionRow
from tests.support.interface import (
    answers,
    ask,
    chat,
    make_app,
    questions,
    ready,
    screen_text,
    send,
    until,
)

CODE = "Try this:\n\n```python\nprint(1)\n```\n\nor\n\n~~~\nsecond\n~~~\n"


async def test_an_earlier_question_is_edited_and_both_versions_stay(history: History) -> None:
    model = ScriptedChatModel(answers=("one", "two", "three"))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await ask(pilot, "Second")
        composer = chat(pilot).desk.composer
        await pilot.press("up")
        assert composer.text == "Second"
        assert "Editing" in screen_text(pilot)
        await pilot.press("up")
        assert composer.text == "First"
        await pilot.press("down", "down")  # past the last one: the edit is left
        assert composer.text == ""
        assert "Editing" not in screen_text(pilot)

        await pilot.press("up", "up")
        await ask(pilot, "First, better")
        assert questions(pilot) == ["First, better"]
        assert answers(pilot) == ["three"]
        assert "Version 2 of 2" in screen_text(pilot)
        [conversation] = history.conversations()
        assert [m.content for m in history.messages(conversation.id)] == ["First, better", "three"]

        await pilot.press("shift+tab", "up", "left")  # the question, and its version before
        await until(pilot, lambda: questions(pilot) == ["First", "Second"])
        assert "Version 1 of 2" in screen_text(pilot)
        assert answers(pilot) == ["one", "two"]


async def test_escape_leaves_an_edit_and_brings_the_draft_back(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        composer = chat(pilot).desk.composer
        composer.load_text("half written")
        await pilot.press("shift+tab", "up", "e")
        assert composer.text == "First"
        assert composer.has_focus
        await pilot.press("escape")
        assert composer.text == "half written"
        assert questions(pilot) == ["First"]


async def test_an_edit_that_is_too_long_changes_nothing(history: History) -> None:
    model = ScriptedChatModel(context_length=60)
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await pilot.press("up")
        await ask(pilot, "word " * 80)
        assert questions(pilot) == ["First"]
        assert chat(pilot).desk.editing
        assert chat(pilot).desk.composer.text == ("word " * 80).strip()


async def test_messages_are_copied_and_quoted_by_key_and_by_mouse(history: History) -> None:
    model = ScriptedChatModel(answers=(CODE,))
    async with make_app(history, model).run_test(size=(100, 40)) as pilot:
        await ready(pilot)
        await ask(pilot, "How?")
        await pilot.press("shift+tab", "y")
        assert pilot.app.clipboard == CODE
        await pilot.press("c")
        assert pilot.app.clipboard == "second"
        await pilot.press("up", "y")
        assert pilot.app.clipboard == "How?"
        await pilot.press("q")
        assert chat(pilot).desk.composer.text == "> How?\n\n"
        assert chat(pilot).desk.composer.has_focus
        chat(pilot).desk.composer.load_text("")

        await pilot.click(".answer .answer-text")
        await until(pilot, lambda: chat(pilot).query(ActionRow))
        row = chat(pilot).query_one(ActionRow)
        assert "Copy code" in [str(button.label) for button in row.query(Button)]
        [quote] = [button for button in row.query(Button) if button.name == "quote"]
        await until(pilot, lambda: quote.region.area)  # laid out, so that a click meets it
        await pilot.click(quote)
        await until(pilot, lambda: chat(pilot).desk.composer.text)
        assert chat(pilot).desk.composer.text.startswith("> Try this:\n>\n> ```python\n")

        await send(pilot, "/copy code")
        assert pilot.app.clipboard == "second"
        await send(pilot, "/copy all")
        assert pilot.app.clipboard == f"You:\nHow?\n\nFrontdesk:\n{CODE.strip()}"


async def test_the_keys_of_the_chosen_message_are_in_the_footer_and_others_type(
    history: History,
) -> None:
    async with make_app(history).run_test(size=(120, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await pilot.press("shift+tab", "up")
        footer = screen_text(pilot).splitlines()[-1]
        assert "Edit" in footer
        assert "Code" not in footer
        await pilot.press("w")  # means nothing here
        assert chat(pilot).desk.composer.text == "w"


async def test_an_earlier_answer_is_given_again_and_its_making_shown(history: History) -> None:
    model = ScriptedChatModel(answers=("one", "two", "other one"))
    async with make_app(history, model).run_test(size=(120, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await ask(pilot, "Second")
        await pilot.press("shift+tab", "up", "up", "i")
        assert "scripted" in chat(pilot).chosen.note
        assert "greedy, max tokens 512" in chat(pilot).chosen.note
        await pilot.press("r")
        await until(pilot, lambda: not chat(pilot).busy and answers(pilot) == ["other one"])
        assert questions(pilot) == ["First"]
        last = chat(pilot).last_answer
        assert [m.content for m in history.siblings(last.id)] == ["one", "other one"]


async def test_earlier_questions_of_any_conversation_are_recalled(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/new")
        await ask(pilot, "Second")
        composer = chat(pilot).desk.composer
        composer.load_text("draft")
        await pilot.press("alt+up", "alt+up", "alt+up")
        assert composer.text == "First"
        assert not chat(pilot).desk.editing
        await pilot.press("alt+down")
        assert composer.text == "Second"
        await pilot.press("alt+down")
        assert composer.text == "draft"


def test_a_walk_begins_anew_after_a_change() -> None:
    recall = Recall(lambda: ["b", "a"])
    assert recall.step("", 1) is None
    assert recall.step("", -1) == "b"
    assert recall.step("b", -1) == "a"
    assert recall.step("a", -1) is None
    assert recall.step("a, changed", -1) == "b"
    assert recall.step("b", 1) == "a, changed"


# --- the editor and the clipboard --------------------------------------------------------


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_editors_file_is_the_owners_alone_and_gone_afterwards(tmp_path: Path) -> None:
    log = tmp_path / "log"
    editor = script(tmp_path / "editor", f'stat -c %a "$(dirname "$1")" > {log}; echo "$1" >> {log}'
                    '; printf "more\\033[31m" >> "$1"')  # fmt: skip
    assert edit_text("text, ", [str(editor)]) == "text, more[31m"
    mode, name = log.read_text().split()
    assert mode == "700"
    assert not os.path.exists(name)


def test_an_editor_that_fails_changes_nothing(tmp_path: Path) -> None:
    editor = script(tmp_path / "editor", "exit 3")
    with pytest.raises(AssistantError, match="code 3"):
        edit_text("text", [str(editor)])
    with pytest.raises(AssistantError, match="cannot be started"):
        edit_text("text", [str(tmp_path / "missing")])


def test_the_editor_is_the_persons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "ed -s")
    monkeypatch.delenv("VISUAL", raising=False)
    assert editor_command() == ["ed", "-s"]
    monkeypatch.setenv("VISUAL", "'")
    with pytest.raises(AssistantError, match="VISUAL"):
        editor_command()


async def test_the_composers_text_goes_through_the_editor(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", str(script(tmp_path / "editor", 'printf " and more" >> "$1"')))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    app = make_app(history)

    @contextmanager
    def lent():  # a test has no terminal to lend
        yield

    monkeypatch.setattr(app, "suspend", lent)
    async with app.run_test(size=(100, 30)) as pilot:
        chat(pilot).desk.composer.load_text("text")
        await pilot.press("ctrl+o")
        assert chat(pilot).desk.composer.text == "text and more"
        await send(pilot, "/private")
        await pilot.press("ctrl+o")
        assert "never touches the disk" in [t.message for t in app._notifications][-1]


@pytest.mark.parametrize(
    ("environment", "there", "wanted"),
    [
        ({"TMUX": "x"}, {"tmux", "xclip"}, "tmux"),
        ({"SSH_CONNECTION": "x", "DISPLAY": ":0"}, {"xclip"}, ""),
        ({"DISPLAY": ":0"}, {"xsel"}, "xsel"),
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, {"wl-copy", "xclip"}, "wl-copy"),
        ({}, {"xclip"}, ""),
    ],
)
def test_the_program_that_takes_a_copy(
    environment: dict[str, str], there: set[str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipboard.shutil, "which", lambda name: name if name in there else None)
    assert (clipboard.local_command(environment) or [""])[0] == wanted
