"""The list of conversations, private ones, files, and what is found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import BadInputError
from assistant.history import History
from assistant.history.files import export_target, free_path, slug
from assistant.testing import ScriptedChatModel
from assistant.tui.screens.rename import RenameScreen
from assistant.tui.widgets.timeline import MOST, PAGE
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


def fill(history: History, count: int, word: str = "Question") -> str:
    conversation = history.create_conversation("scripted", "")
    for number in range(count):
        question = history.add_user_message(conversation.id, f"{word} {number}")
        answer = history.begin_answer(question.id, "scripted", {})
        history.finish_answer(answer.id, f"Answer {number}", "complete", {"stop_reason": "end"})
    return conversation.id


async def test_the_list_renames_pins_and_deletes_by_key(history: History) -> None:
    fill(history, 1, "First")
    second = fill(history, 1, "Second")
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await send(pilot, "/history")
        await pilot.press("down", "p")  # the one below the current
        assert screen_text(pilot).index("Pinned") < screen_text(pilot).index("First 0")
        assert [c.pinned for c in history.conversations()] == [True, False]
        await pilot.press("f2")
        assert isinstance(pilot.app.screen, RenameScreen)
        await pilot.press("end", *"!", "enter")
        assert history.conversation(second).title == "Second 0!"
        await pilot.press("delete", "y")
        await until(pilot, lambda: len(history.conversations()) == 1)
    async with make_app(history).run_test(size=(100, 30)) as pilot:  # pinned, but not the latest
        await ready(pilot)
        assert questions(pilot) == ["First 0"]


async def test_a_private_conversation_never_reaches_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    model = ScriptedChatModel(answers=("aloud", "whispered back", "whispered back", "aloud"))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "Said aloud")
        await send(pilot, "/private")
        assert "private" in screen_text(pilot)
        await ask(pilot, "Whispered")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not chat(pilot).busy)
        assert answers(pilot) == ["whispered back"]
        await send(pilot, "/pin")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not questions(pilot))
        assert "private" not in screen_text(pilot).splitlines()[-2]
        await ask(pilot, "Said aloud again")
    history.close()
    written = b"".join(file.read_bytes() for file in tmp_path.glob("history.db*"))
    assert b"Said aloud again" in written
    assert b"hispered" not in written


async def test_an_export_goes_to_a_new_file_and_comes_back(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "Where is my [b]parcel[/b]?")
        for command in ("/export", "/export", "/export json", "/export my notes.txt"):
            await send(pilot, command)
        names = {"where-is-my-b-parcel-b.md", "where-is-my-b-parcel-b-2.md",
                 "where-is-my-b-parcel-b.json", "my notes.txt"}  # fmt: skip
        assert {p.name for p in tmp_path.iterdir() if p.is_file()} == names
        await send(pilot, "/export pdf")
        assert "There is no format pdf" in [t.message for t in pilot.app._notifications][-1]
        history.delete(history.conversations()[0].id)
        await send(pilot, "/import where-is-my-b-parcel-b.json")
        assert [c.title for c in history.conversations()] == ["Where is my [b]parcel[/b]?"]
        await send(pilot, "/import missing.json")
        assert "cannot be read" in [t.message for t in pilot.app._notifications][-1]


def test_a_format_is_named_or_told_by_the_files_ending(tmp_path: Path) -> None:
    assert export_target("") == ("markdown", None)
    assert export_target("JSON  out.txt") == ("json", Path("out.txt"))
    assert export_target("my chat.md") == ("markdown", Path("my chat.md"))
    with pytest.raises(BadInputError):
        export_target("docx")
    assert slug("  “Wo?” / ist:mein..Paket ") == "wo-ist-mein-paket"
    assert slug("?!") == "conversation"
    (tmp_path / "a.md").touch()
    assert free_path(tmp_path / "a.md", "markdown", "x") == tmp_path / "a-2.md"
    assert free_path(None, "text", "x") == Path("x.txt")


async def test_a_found_message_is_gone_to_wherever_it_stands(history: History) -> None:
    long = fill(history, 60)
    fill(history, 1, "Other")
    messages = history.messages(long)
    history.add_user_message(long, "needle, edited away", messages[9].id)
    history.select(messages[-1].id)
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+f", *"Answer", "space", "7", "enter")
        await until(pilot, lambda: chat(pilot).chosen is not None)
        assert chat(pilot).chosen.content == "Answer 7"
        assert "Answer 7" in screen_text(pilot)
        assert len(answers(pilot)) <= PAGE
        await ask(pilot, "And on?")  # the end comes back by itself
        assert questions(pilot)[-2:] == ["Question 59", "And on?"]
        await pilot.press("ctrl+f", *"needle", "enter")  # on another branch
        await until(pilot, lambda: questions(pilot)[-1:] == ["needle, edited away"])


async def test_a_long_conversation_is_mounted_by_pages_and_pruned(history: History) -> None:
    conversation = fill(history, 2 * MOST)
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        transcript = chat(pilot).transcript
        assert len(transcript.query(".said")) == PAGE
        for _ in range(2 * MOST // PAGE):
            transcript.scroll_home(animate=False)
            await until(pilot, lambda: not transcript._loading)
            await pilot.pause(0.05)
        assert len(transcript.query(".said")) <= MOST + PAGE
        await pilot.press("shift+tab", "home")
        await until(pilot, lambda: "Question 0" in questions(pilot))
        await pilot.press("end")
        await until(pilot, lambda: f"Question {2 * MOST - 1}" in questions(pilot))
        for number in range(3):
            await ask(pilot, f"New {number}")
        assert len(transcript.query(".said")) <= MOST + 4
        assert questions(pilot)[-3:] == ["New 0", "New 1", "New 2"]
    assert len(history.messages(conversation)) == 4 * MOST + 6


async def test_a_thousand_conversations_are_listed_as_one_goes_down(history: History) -> None:
    for number in range(150):
        fill(history, 1, f"Talk {number},")
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        options = chat(pilot).sidebar.options
        assert options.option_count < 150
        await pilot.press("ctrl+b", "ctrl+b", "end")
        await until(pilot, lambda: options.option_count > 150)
        await pilot.press("end", "enter")
        await until(pilot, lambda: questions(pilot) == ["Talk 0, 0"])


async def test_json_of_an_export_holds_options_to_replay_an_answer(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await send(pilot, "/options temperature=0.7 top-p=0.9 seed=5")
        await send(pilot, "/system Be brief.")
        await ask(pilot, "One")
        await send(pilot, "/new")
        await send(pilot, "/options reset")
    [conversation] = history.conversations()
    assert conversation.system_prompt == "Be brief."
    assert json.loads(json.dumps(conversation.options)) == {
        "temperature": 0.7, "top_p": 0.9, "seed": 5,
    }  # fmt: skip
    answer = history.messages(conversation.id)[-1]
    assert (answer.options["temperature"], answer.options["seed"]) == (0.7, 5)
