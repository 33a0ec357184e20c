from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from assistant.chat import Chunk, Completion, GenerationOptions
from assistant.conversation import Message
from assistant.errors import BadInputError, ModelError, StorageError
from assistant.history import History
from assistant.session import ChatSession
from assistant.testing import ScriptedChatModel


@pytest.fixture
def history() -> Iterator[History]:
    history = History(None)
    yield history
    history.close()


def say(stream: Iterator[Chunk | Completion]) -> tuple[str, Completion]:
    *chunks, completion = stream
    assert isinstance(completion, Completion)
    return "".join(c.text for c in chunks if isinstance(c, Chunk)), completion


def roles(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in messages]


def test_a_session_stores_nothing_until_the_first_question(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel())
    assert session.conversation_id is None
    assert session.messages() == []
    assert session.last_answer is None
    assert history.conversations() == []


def test_an_answer_streams_and_is_stored_with_its_options_and_statistics(
    history: History,
) -> None:
    session = ChatSession(history, ScriptedChatModel(["It is on its way."]))
    text, completion = say(session.ask("Where is my order?", Event()))
    assert text == "It is on its way."
    question, answer = session.messages()
    assert (question.role, question.content) == ("user", "Where is my order?")
    assert (answer.content, answer.status, answer.model) == (text, "complete", "scripted")
    assert answer.statistics["stop_reason"] == "end"
    assert answer.statistics["output_tokens"] == completion.output_tokens
    assert answer.options["max_tokens"] == 512
    assert "text" not in answer.statistics


def test_the_question_is_committed_before_the_model_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "data" / "history.db"
    seen: list[tuple[str, str]] = []

    class Curious(ScriptedChatModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
        ) -> Iterator[Chunk | Completion]:
            other = sqlite3.connect(path)
            seen.extend(other.execute("SELECT content, status FROM message ORDER BY number"))
            other.close()
            yield from super().stream(messages, options, cancel)

    session = ChatSession(History(path), Curious())
    say(session.ask("is this kept?", Event()))
    assert seen == [("is this kept?", "complete"), ("", "streaming")]


def test_the_prompt_is_the_system_prompt_and_the_branch(history: History) -> None:
    model = ScriptedChatModel(["one", "two"])
    session = ChatSession(history, model)
    say(session.ask("first", Event()))
    say(session.ask("second", Event()))
    assert roles(model.prompts[1]) == [
        ("system", model.system_prompt),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second"),
    ]


def test_a_system_prompt_can_be_given_or_left_out_and_is_kept_with_the_conversation(
    history: History,
) -> None:
    model = ScriptedChatModel()
    session = ChatSession(history, model, system_prompt="Speak like a pirate.")
    say(session.ask("q", Event()))
    reopened = ChatSession(history, model, conversation_id=session.conversation_id)
    say(reopened.ask("q2", Event()))
    assert model.prompts[1][0] == Message("system", "Speak like a pirate.")
    silent = ChatSession(history, model, system_prompt="")
    say(silent.ask("q3", Event()))
    assert [m.role for m in model.prompts[2]] == ["user"]


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_question_is_refused_before_anything_is_stored(
    history: History, text: str
) -> None:
    session = ChatSession(history, ScriptedChatModel())
    with pytest.raises(BadInputError):
        session.ask(text, Event())
    assert history.counts() == (0, 0)


def test_a_question_longer_than_the_window_is_refused_before_anything_is_stored(
    history: History,
) -> None:
    session = ChatSession(history, ScriptedChatModel(context_length=100))
    with pytest.raises(BadInputError, match="100"):
        session.ask("word " * 90, Event())
    assert history.counts() == (0, 0)


def test_a_stopped_answer_keeps_what_was_said(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel(["a b c d e f"]))
    cancel = Event()
    said = []
    for event in session.ask("q", cancel):
        if isinstance(event, Chunk):
            said.append(event.text)
            if len(said) == 3:
                cancel.set()
    answer = session.last_answer
    assert answer is not None
    assert (answer.content, answer.status) == ("a b c", "stopped")


def test_a_reader_that_goes_away_stops_the_answer(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel(["a b c d"]))
    stream = session.ask("q", Event())
    next(stream)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    answer = session.last_answer
    assert answer is not None
    assert (answer.content, answer.status) == ("a b", "stopped")


def test_an_answer_cut_by_its_length_is_complete_and_says_why(history: History) -> None:
    session = ChatSession(
        history, ScriptedChatModel(["a b c d"]), options=GenerationOptions(max_tokens=2)
    )
    say(session.ask("q", Event()))
    answer = session.last_answer
    assert answer is not None
    assert (answer.content, answer.status) == ("a b", "complete")
    assert answer.statistics["stop_reason"] == "length"


def test_a_failing_model_leaves_a_failed_answer_and_its_error(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel([ModelError("NaN in the logits"), "fine"]))
    with pytest.raises(ModelError):
        say(session.ask("q", Event()))
    failed = session.last_answer
    assert failed is not None
    assert (failed.status, failed.error) == ("failed", "NaN in the logits")
    text, _ = say(session.regenerate(Event()))
    assert text == "fine"


def test_the_answer_is_flushed_while_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.session.FLUSH_SECONDS", 0.0)
    path = tmp_path / "data" / "history.db"
    session = ChatSession(History(path), ScriptedChatModel(["one two three"]))
    other = History(path)
    stored = []
    for event in session.ask("q", Event()):
        if isinstance(event, Chunk):
            assert session.conversation_id is not None
            last = other.messages(session.conversation_id)[-1]
            stored.append((last.content, last.status))
    assert stored == [(said, "streaming") for said in ("one", "one two", "one two three")]


def test_a_disk_that_fills_up_in_mid_answer_does_not_cost_the_answer(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("The disk is full")

    session = ChatSession(history, ScriptedChatModel(["said in full"]))
    stream = session.ask("q", Event())
    monkeypatch.setattr("assistant.session.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(history, "update_answer", full)
    monkeypatch.setattr(history, "finish_answer", full)
    text, _ = say(stream)
    assert text == "said in full"
    assert isinstance(session.storage_error, StorageError)


def test_regenerating_makes_a_sibling_from_the_same_prompt(history: History) -> None:
    model = ScriptedChatModel(["one", "two"])
    session = ChatSession(history, model)
    say(session.ask("q", Event()))
    first = session.last_answer
    say(session.regenerate(Event()))
    assert first is not None
    assert [m.content for m in history.siblings(first.id)] == ["one", "two"]
    assert model.prompts[0] == model.prompts[1]
    assert [m.content for m in session.messages()] == ["q", "two"]


@pytest.mark.parametrize(
    "options", [GenerationOptions(), GenerationOptions(temperature=0.5, seed=3)]
)
def test_another_answer_is_sampled_where_it_would_be_the_same_again(
    history: History, options: GenerationOptions
) -> None:
    session = ChatSession(history, ScriptedChatModel(["one", "two"]), options)
    say(session.ask("q", Event()))
    first = session.last_answer
    say(session.regenerate(Event()))
    second = session.last_answer
    assert first is not None
    assert second is not None
    assert second.options["temperature"] > 0
    assert isinstance(second.options["seed"], int)
    assert second.options["seed"] != first.options["seed"]
    assert session.options == options  # the next question is answered as before


def test_an_answer_that_failed_is_tried_again_as_it_was(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel([ModelError("NaN"), "fine"]))
    with pytest.raises(ModelError):
        say(session.ask("q", Event()))
    say(session.regenerate(Event()))
    assert session.last_answer is not None
    assert session.last_answer.options["temperature"] == 0


def test_there_is_nothing_to_regenerate_or_continue_in_a_new_session(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel())
    with pytest.raises(BadInputError):
        session.regenerate(Event())
    with pytest.raises(BadInputError):
        session.continue_answer(Event())


def test_an_edited_question_begins_a_branch(history: History) -> None:
    model = ScriptedChatModel(["one", "two", "three"])
    session = ChatSession(history, model)
    say(session.ask("q1", Event()))
    say(session.ask("q2", Event()))
    question, answer, second, _ = session.messages()
    say(session.edit(second.id, "q2 better", Event()))
    assert [m.content for m in session.messages()] == ["q1", "one", "q2 better", "three"]
    say(session.edit(question.id, "q1 better", Event()))
    assert [m.content for m in session.messages()] == ["q1 better", "one"]
    with pytest.raises(BadInputError):
        session.edit(answer.id, "x", Event())


def test_a_stopped_answer_is_continued_in_place(history: History) -> None:
    model = ScriptedChatModel(["You can", " always return it."])
    session = ChatSession(history, model, options=GenerationOptions(max_tokens=2))
    say(session.ask("q", Event()))
    answer = session.last_answer
    assert answer is not None
    # The scripted answer ended by itself; stored as a person's stop would leave it.
    history.finish_answer(answer.id, answer.content, "stopped", {"stop_reason": "stopped"})
    session.options = GenerationOptions()
    text, _ = say(session.continue_answer(Event()))
    assert text == " always return it."
    assert roles(model.prompts[1])[-1] == ("assistant", "You can")
    (_, continued) = session.messages()
    assert (continued.id, continued.content) == (answer.id, "You can always return it.")
    assert continued.status == "complete"
    with pytest.raises(BadInputError, match="complete"):
        session.continue_answer(Event())


def test_an_answer_interrupted_before_its_first_word_is_answered_from_the_question(
    history: History,
) -> None:
    conversation = history.create_conversation("scripted", "")
    question = history.add_user_message(conversation.id, "q")
    answer = history.begin_answer(question.id, "scripted", {})
    history.finish_answer(answer.id, "", "interrupted")
    model = ScriptedChatModel(["hello"])
    session = ChatSession(history, model, conversation_id=conversation.id)
    say(session.continue_answer(Event()))
    assert roles(model.prompts[0]) == [("user", "q")]
    assert [m.content for m in session.messages()] == ["q", "hello"]


def test_the_oldest_exchanges_are_left_out_when_the_window_is_full(history: History) -> None:
    model = ScriptedChatModel(["short answer"], context_length=400, system_prompt="Be kind.")
    session = ChatSession(history, model, options=GenerationOptions(max_tokens=300))
    for n in range(6):
        say(session.ask(f"question{n} " + "word " * 40, Event()))
    last = model.prompts[-1]
    assert last[0] == Message("system", "Be kind.")
    assert last[1].role == "user"
    assert last[-1].content.startswith("question5")
    assert model.count_tokens(last) + 256 <= 400
    # As many as fit: one exchange more would not have.
    whole = [Message(m.role, m.content) for m in session.messages()[:-1]]
    assert session.dropped_messages == len(whole) - len(last[1:])
    more = [last[0], *whole[session.dropped_messages - 2 :]]
    assert model.count_tokens(more) + 256 > 400
    answer = session.last_answer
    assert answer is not None
    assert answer.statistics["dropped_messages"] == session.dropped_messages


def test_a_full_window_keeps_its_beginning_for_several_questions(history: History) -> None:
    model = ScriptedChatModel(["short answer"], context_length=400, system_prompt="Be kind.")
    session = ChatSession(history, model, options=GenerationOptions(max_tokens=300))
    for n in range(40):
        say(session.ask(f"question{n} and six words after it", Event()))
    full = [prompt for prompt in model.prompts if prompt[1].content[:10] != "question0 "]
    moved = sum(a[1] != b[1] for a, b in itertools.pairwise(full))
    assert len(full) > 25
    assert 2 < moved <= len(full) / 2.5
    for prompt in full:
        assert 0.5 * 144 < model.count_tokens(prompt) <= 144


def test_a_sampled_answer_records_the_seed_it_was_drawn_with(history: History) -> None:
    session = ChatSession(history, ScriptedChatModel(), options=GenerationOptions(temperature=0.7))
    say(session.ask("q", Event()))
    answer = session.last_answer
    assert answer is not None
    assert isinstance(answer.options["seed"], int)


def test_an_unknown_conversation_is_bad_input(history: History) -> None:
    with pytest.raises(BadInputError):
        ChatSession(history, ScriptedChatModel(), conversation_id="nope")
