"""Pins, options, versions and the memory of questions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from assistant.history import ROOT, History


def talk(history: History, *questions: str) -> list[str]:
    conversation = history.create_conversation("m", "")
    for question in questions:
        history.add_user_message(conversation.id, question)
    return [conversation.id, *[m.id for m in history.messages(conversation.id)]]


def test_pinned_conversations_are_listed_first_whatever_was_written_since(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    first, *_ = talk(history, "one")
    second, *_ = talk(history, "two")
    history.pin(first)
    third, *_ = talk(history, "three")
    assert [(c.id, c.pinned) for c in history.conversations()] == [
        (first, True), (third, False), (second, False),
    ]  # fmt: skip
    latest = history.latest()
    assert latest is not None
    assert latest.id == third
    history.pin(first, False)
    assert [c.id for c in history.conversations()] == [third, second, first]
    history.close()


def test_a_conversation_remembers_how_its_answers_are_made(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    conversation, *_ = talk(history, "one")
    history.set_up(conversation, options={"temperature": 0.7})
    history.set_up(conversation, system_prompt="Be brief.")
    history.close()
    history = History(path)
    read = history.conversation(conversation)
    assert (read.options, read.system_prompt) == ({"temperature": 0.7}, "Be brief.")
    history.close()


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    conversation, *_ = talk(history, "one")
    history.close()
    old = sqlite3.connect(path)
    old.execute("DROP INDEX conversation_by_pin")
    for column in ("pinned", "options"):
        old.execute(f"ALTER TABLE conversation DROP COLUMN {column}")
    old.execute("DELETE FROM _sqlite_migrations WHERE name = 'm002_pins_and_options'")
    old.commit()
    old.close()
    history = History(path)
    assert [(c.id, c.pinned, c.options) for c in history.conversations()] == [
        (conversation, False, {})
    ]
    history.close()


def test_versions_name_every_message_that_stands_beside_others() -> None:
    history = History(None)
    conversation, question = talk(history, "one")
    answers = [history.begin_answer(question, "m", {}).id for _ in range(3)]
    edited = history.add_user_message(conversation, "one, better", ROOT).id
    alone = history.begin_answer(edited, "m", {}).id
    versions = history.versions(conversation)
    assert versions[answers[1]] == tuple(answers)
    assert versions[question] == versions[edited] == (question, edited)
    assert alone not in versions
    history.close()


def test_recent_questions_are_given_once_the_newest_first() -> None:
    history = History(None)
    talk(history, "a", "b", "a")
    talk(history, "c")
    assert history.recent_questions() == ["c", "a", "b"]
    assert history.recent_questions(limit=2) == ["c", "a"]
    history.close()
