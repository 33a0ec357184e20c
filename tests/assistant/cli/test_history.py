from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from assistant.history import History
from assistant.paths import database_path


@pytest.fixture
def conversation() -> str:
    history = History(database_path())
    conversation = history.create_conversation("m", "Be kind.")
    question = history.add_user_message(conversation.id, "How do I reset \x1b[31mmy password?")
    answer = history.begin_answer(question.id, "m", {})
    history.finish_answer(answer.id, "Open the settings.", "stopped", {"stop_reason": "stopped"})
    second = history.begin_answer(question.id, "m", {})
    history.finish_answer(second.id, "Use the link in the mail.", "complete")
    history.close()
    return conversation.id


def test_an_empty_history_lists_nothing(run) -> None:
    assert run("history", "list", "--json").out == "[]\n"
    result = run("history", "list")
    assert (result.code, result.out, result.err) == (0, "", "No conversations yet.\n")


def test_list_shows_id_and_title(run, conversation: str) -> None:
    row = run("history", "list").out.splitlines()[1]
    assert row.startswith(conversation)
    assert row.endswith("How do I reset [31mmy password?")
    (data,) = json.loads(run("history", "list", "--json").out)
    assert (data["id"], data["message_count"]) == (conversation, 3)


def test_show_prints_the_current_branch_without_control_characters(run, conversation: str) -> None:
    out = run("history", "show", conversation[:6]).out
    assert "You:\nHow do I reset [31mmy password?" in out
    assert "Frontdesk:\nUse the link in the mail." in out
    assert "Open the settings." not in out
    assert "\x1b" not in out


@pytest.mark.parametrize("command", ["show", "export", "delete"])
def test_an_unknown_conversation_is_bad_input(run, conversation: str, command: str) -> None:
    result = run("history", command, "nope")
    assert (result.code, result.out) == (3, "")
    assert "'nope'" in result.err


def test_search_prints_what_it_found(run, conversation: str) -> None:
    result = run("history", "search", "reset", "pass")
    assert result.out.startswith(conversation)
    assert "user: How do I reset [31mmy password?" in result.out
    (hit,) = json.loads(run("history", "search", "link", "--json").out)
    assert hit["conversation_id"] == conversation
    assert hit["snippet"] == "Use the link in the mail."


def test_search_without_a_hit_is_no_error(run, conversation: str) -> None:
    result = run("history", "search", "unicorn AND (")
    assert (result.code, result.out, result.err) == (0, "", "Nothing found.\n")
    assert run("history", "search", "unicorn", "--json").out == "[]\n"


def test_export_as_markdown_holds_the_current_branch(run, conversation: str) -> None:
    out = run("history", "export", conversation).out
    assert out.startswith("# How do I reset [31mmy password?\n\n")
    assert "## You\n\nHow do I reset" in out
    assert "## Frontdesk\n\nUse the link in the mail.\n" in out


def test_export_as_json_holds_every_branch(run, conversation: str, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    result = run("history", "export", "--format", "json", "-o", str(file))
    assert (result.code, result.out) == (0, "")
    (data,) = json.loads(file.read_text(encoding="utf-8"))
    assert data["system_prompt"] == "Be kind."
    assert [m["status"] for m in data["messages"]] == ["complete", "stopped", "complete"]
    assert data["current_branch"] == [data["messages"][0]["id"], data["messages"][2]["id"]]
    assert json.loads(run("history", "export", "--format", "json").out) == [data]


def test_export_to_a_place_that_cannot_be_written_is_an_error(run, conversation: str) -> None:
    result = run("history", "export", "-o", "/no/such/folder/x.md")
    assert result.code == 1
    assert "/no/such/folder/x.md cannot be written" in result.err


def test_delete_asks_first(run, conversation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("history", "delete", conversation, stdin="").code == 2
    assert run("history", "delete", conversation, typed="n\n").code == 130
    assert run("history", "show", conversation).code == 0
    assert run("history", "delete", conversation, typed="y\n").code == 0
    assert run("history", "show", conversation).code == 3


def test_delete_takes_the_text_off_the_disk(run, conversation: str) -> None:
    assert run("history", "delete", conversation, "--yes").code == 0
    files = [path.read_bytes() for path in database_path().parent.iterdir() if path.is_file()]
    assert not any(b"password" in content or b"the link" in content for content in files)


def test_delete_all_needs_to_be_said(run, conversation: str) -> None:
    assert run("history", "delete", "--yes").code == 2
    assert run("history", "delete", "--all", conversation, "--yes").code == 2
    assert run("history", "delete", "--all", "--yes").err == "1 deleted\n"


@pytest.mark.parametrize("command", [["list"], ["search", "x"], ["export"]])
def test_a_data_directory_that_cannot_be_used_is_an_error(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FRONTDESK_DATA", str(tmp_path / "file" / "data"))
    result = run("history", *command)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: The data directory")


def test_a_damaged_database_is_a_warning_and_a_fresh_start(run, conversation: str) -> None:
    for file in database_path().parent.iterdir():
        if file.name != database_path().name:
            file.unlink()
    database_path().write_bytes(os.urandom(5000))
    result = run("history", "list")
    assert result.code == 0
    assert result.err.startswith("warning: The database")
    assert "damaged-" in result.err


def test_an_export_can_be_imported_elsewhere(
    run, conversation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = run("history", "export", "--format", "json").out
    file = tmp_path / "export.json"
    file.write_text(exported, encoding="utf-8")
    result = run("history", "import", str(file))
    assert (result.code, result.err) == (0, "0 imported, 1 were there already\n")
    monkeypatch.setenv("FRONTDESK_DATA", str(tmp_path / "elsewhere"))
    assert run("history", "import", str(file)).err == "1 imported\n"
    assert run("history", "export", "--format", "json").out == exported
    file.write_text("nothing")
    assert run("history", "import", str(file)).code == 3


def test_plain_text_holds_the_current_branch(run, conversation: str) -> None:
    text = run("history", "export", conversation, "--format", "text").out
    assert "You:\nHow do I reset [31mmy password?" in text
    assert "Frontdesk:\nUse the link in the mail." in text
    assert "#" not in text


def test_rename_and_pin_change_the_list(run, conversation: str) -> None:
    assert run("history", "rename", conversation[:6], "Lost", "password").code == 0
    assert run("history", "pin", conversation).code == 0
    assert run("history", "list").out.splitlines()[1].endswith("* Lost password")
    assert run("history", "pin", "--off", conversation).code == 0
    assert run("history", "list").out.splitlines()[1].endswith("  Lost password")
