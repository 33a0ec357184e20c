"""What the model reads: entries before the last question, and when there are none."""

from __future__ import annotations

from threading import Event

from assistant.chat import Completion
from assistant.conversation import (
    HandbookEntry,
    Message,
    Note,
    grounded_question,
    handbook_question,
)
from assistant.handbook.reading import fitted_prompt, handbook_line, leave_handbook
from assistant.history import History
from assistant.session import ChatSession
from assistant.testing import ScriptedChatModel
from tests.support.handbook import ENTRIES, ReadingModel, tiny_handbook


def _talk(session: ChatSession, text: str) -> Completion:
    *_, last = session.ask(text, Event())
    assert isinstance(last, Completion)
    return last


def test_entries_stand_before_the_latest_question_alone() -> None:
    model = ReadingModel(handbook=tiny_handbook(shown=1))
    session = ChatSession(History(None), model)
    _talk(session, "My parcel has not arrived")
    _talk(session, "tracking says delivered")
    first, second = model.prompts
    assert first[-1].content == handbook_question("My parcel has not arrived", [ENTRIES[1]])
    assert second[1].content == "My parcel has not arrived"
    assert second[-1].content == handbook_question("tracking says delivered", [ENTRIES[2]])


def test_the_question_is_stored_as_it_was_asked_and_the_answer_with_its_sources() -> None:
    session = ChatSession(History(None), ReadingModel(handbook=tiny_handbook(shown=1)))
    _talk(session, "I was charged twice")
    question, answer = session.messages()
    assert question.content == "I was charged twice"
    (source,) = answer.statistics["sources"]
    assert (source["id"], source["title"]) == ("bil-0001", "I was charged twice")
    assert source["score"] == 1.0
    assert handbook_line(answer.statistics) == "Handbook: I was charged twice"


def test_an_answer_keeps_its_sources_when_another_question_is_looked_at_meanwhile() -> None:
    session = ChatSession(History(None), ReadingModel(handbook=tiny_handbook(shown=1)))
    stream = session.ask("I was charged twice", Event())
    next(stream)
    session.preview("How do I reset my password?")
    list(stream)
    assert session.messages()[-1].statistics["sources"][0]["id"] == "bil-0001"


def test_without_entries_nothing_is_said_of_a_handbook() -> None:
    session = ChatSession(History(None), ReadingModel())
    _talk(session, "zebra crossing")
    answer = session.messages()[-1]
    assert "sources" not in answer.statistics
    assert handbook_line(answer.statistics) == ""


def test_a_model_leaves_its_handbook_when_asked_to() -> None:
    model = ReadingModel()
    leave_handbook(model)
    _talk(ChatSession(History(None), model), "I was charged twice")
    assert model.prompts[0][-1].content == "I was charged twice"
    leave_handbook(ScriptedChatModel())  # has none


def test_a_conversation_about_notes_reads_those_alone() -> None:
    model = ReadingModel()
    session = ChatSession(History(None), model)
    asked = grounded_question("I was charged twice", [Note("Fees", "20p a day")])
    _talk(session, asked)
    _talk(session, "I was charged twice")
    assert [prompt[-1].content for prompt in model.prompts] == [asked, "I was charged twice"]


def test_a_broken_handbook_costs_no_answer() -> None:
    session = ChatSession(History(None), ReadingModel(broken=True))
    assert _talk(session, "I was charged twice").stop_reason == "end"
    assert "damaged" in str(session.handbook_error)
    assert session.sources == ()


def test_entries_give_way_before_a_question_is_refused() -> None:
    question = Message("user", "I was charged twice")
    entries = [
        HandbookEntry("a", "t", "I was charged twice", "word " * 40),
        HandbookEntry("b", "t", "was I charged twice", "word " * 40),
    ]
    handbook = tiny_handbook(entries, margin=2)
    sizes = {}
    for length in (400, 100, 40):
        model = ReadingModel(handbook=handbook, context_length=length)
        prompt = fitted_prompt([], [question], model, 16)
        sizes[length] = len(prompt.sources)
        assert prompt.messages[-1].content.endswith("I was charged twice")
    assert sizes == {400: 2, 100: 1, 40: 0}


def test_the_oldest_messages_go_before_entries_do() -> None:
    model = ReadingModel(handbook=tiny_handbook(shown=1), context_length=60)
    old = [Message("user", ENTRIES[1].question), Message("assistant", "word " * 35)]
    prompt = fitted_prompt([], [*old, Message("user", "I was charged twice")], model, 16)
    assert (prompt.dropped, len(prompt.sources), len(prompt.messages)) == (2, 1, 1)


def test_an_answer_that_goes_on_keeps_its_entries() -> None:
    model = ReadingModel(handbook=tiny_handbook(shown=1), answers=["one two three four"])
    session = ChatSession(History(None), model, model.options.updated(max_tokens=2))
    _talk(session, "I was charged twice")
    list(session.continue_answer(Event()))
    first, second = model.prompts
    assert second[: len(first)] == first
    assert second[-1] == Message("assistant", "one two")


def test_the_line_is_of_one_line_whatever_the_title() -> None:
    sources = [{"title": "a\x1b[31m\nb" * 40}, {"title": "c"}, "no source"]
    line = handbook_line({"sources": sources})
    assert line.endswith(" | c")
    assert "\x1b" not in line
    assert "\n" not in line
    assert handbook_line({"sources": "nonsense"}) == ""
    assert (
        handbook_line({"sources": [{"id": "sum", "title": "1+1"}]}) == "Worked out by the program"
    )
