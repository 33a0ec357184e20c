"""What ``assistant ask`` answers from: the handbook, or a person's notes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from assistant.conversation import GROUNDED_HEADER, Message, handbook_question
from assistant.history import History
from assistant.plain import PlainConversation
from assistant.plugin_host import PluginHost
from tests.support.handbook import ENTRIES, ReadingModel, tiny_handbook


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ReadingModel:
    """A scripted model with a handbook, loaded by every name."""
    reading = ReadingModel(
        ["It costs 20p [2]."], handbook=tiny_handbook(shown=1), context_length=120
    )
    monkeypatch.setattr(
        "assistant.engine.chat_model.load_chat_model", lambda name, threads=None: reading
    )
    return reading


def test_json_names_the_entries_that_were_read(run, model: ReadingModel) -> None:
    data = json.loads(run("ask", "--json", "I was charged twice").out)
    assert data["sources"] == [{"id": "bil-0001", "title": "I was charged twice", "score": 1.0}]
    asked = handbook_question("I was charged twice", [ENTRIES[3]])
    assert model.prompts[0][-1] == Message("user", asked)


def test_the_handbook_can_be_left_out(run, model: ReadingModel) -> None:
    data = json.loads(run("ask", "--json", "--no-handbook", "I was charged twice").out)
    assert data["sources"] == []
    assert model.prompts[0][-1] == Message("user", "I was charged twice")


def test_a_broken_handbook_is_a_warning(run, model: ReadingModel) -> None:
    model.broken = True
    result = run("ask", "I was charged twice")
    assert (result.code, result.out) == (0, "It costs 20p [2].\n")
    assert "answered without the handbook" in result.err


def test_notes_are_read_in_their_order_and_cited(run, model: ReadingModel, tmp_path: Path) -> None:
    for name, text in (("a.txt", "Hours\nOpen at 9."), ("b.txt", "Fees\n20p a day.")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    notes = [f"--note={tmp_path / name}" for name in ("a.txt", "b.txt")]
    data = json.loads(run("ask", "--json", *notes, "I was charged twice").out)
    assert data["sources"] == [
        {"number": 1, "title": "Hours", "cited": False},
        {"number": 2, "title": "Fees", "cited": True},
    ]
    asked = model.prompts[0][-1].content
    assert asked == (
        f"{GROUNDED_HEADER}\n[1] Hours: Open at 9.\n[2] Fees: 20p a day.\n\n"
        "Question: I was charged twice"
    )


def test_a_note_that_is_none_and_notes_that_are_too_long_exit_with_3(
    run, model: ReadingModel, tmp_path: Path
) -> None:
    path = tmp_path / "n.txt"
    assert run("ask", f"--note={path}", "q").code == 3
    path.write_text("Title\n" + "word " * 500, encoding="utf-8")
    result = run("ask", f"--note={path}", "q")
    assert (result.code, result.out) == (3, "")


def test_line_mode_tells_what_an_answer_was_read_from(model: ReadingModel) -> None:
    lines = iter(["I was charged twice", "/quit"])
    output, messages = io.StringIO(), io.StringIO()
    PlainConversation(
        History(None), model, PluginHost(), lambda _: next(lines), output, messages
    ).run()
    assert output.getvalue() == "It costs 20p [2].\n"
    assert "handbook: I was charged twice" in messages.getvalue()
