from __future__ import annotations

import time
from threading import Event

import pytest
from textual import events
from textual.widgets import Button

from assistant.chat import GenerationOptions
from assistant.errors import ModelError
from assistant.history import History
from assistant.testing import ScriptedChatModel
from assistant.tui.facts import AnswerGrew
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.too_long import TooLong
from tests.support.interface import (
    HeldModel,
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


async def test_a_question_is_answered_on_the_screen_and_stored(history: History) -> None:
    app = make_app(history, ScriptedChatModel(answers=("Open **settings** and choose reset.",)))
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "How can I reset my password?")
        assert questions(pilot) == ["How can I reset my password?"]
        assert answers(pilot) == ["Open **settings** and choose reset."]
        assert "Open settings and choose reset." in screen_text(pilot)
    [conversation] = history.conversations()
    assert conversation.title == "How can I reset my password?"
    stored = history.messages(conversation.id)
    assert [(m.role, m.status) for m in stored] == [("user", "complete"), ("assistant", "complete")]
    assert stored[1].content == "Open **settings** and choose reset."


async def test_an_answer_is_on_the_screen_while_it_is_being_said(history: History) -> None:
    model = HeldModel(answers=("first second third",))
    async with make_app(history, model).run_test() as pilot:
        await ready(pilot)
        await send(pilot, "Count")
        await until(pilot, lambda: answers(pilot) == ["first"])
        assert "answering" in screen_text(pilot)
        model.go.set()
        await until(pilot, lambda: not chat(pilot).busy)
        assert answers(pilot) == ["first second third"]


async def test_escape_stops_the_answer_and_keeps_what_was_said(history: History) -> None:
    model = HeldModel(answers=("first second third",))
    async with make_app(history, model).run_test() as pilot:
        await ready(pilot)
        await send(pilot, "Count")
        await until(pilot, lambda: answers(pilot) == ["first"])
        await pilot.press("escape")
        await until(pilot, lambda: not chat(pilot).busy)
        assert answers(pilot) == ["first"]
        assert "Stopped" in screen_text(pilot)
    stored = history.messages(history.conversations()[0].id)[-1]
    assert (stored.content, stored.status) == ("first", "stopped")


async def test_a_stopped_answer_is_continued_in_place(history: History) -> None:
    model = HeldModel(answers=("first second", " and the rest"))
    async with make_app(history, model).run_test() as pilot:
        await ready(pilot)
        await send(pilot, "Count")
        await until(pilot, lambda: answers(pilot) == ["first"])
        await pilot.press("escape")
        await until(pilot, lambda: not chat(pilot).busy)
        model.go.set()
        await pilot.press("ctrl+g")
        await until(pilot, lambda: answers(pilot) == ["first and the rest"])
        await until(pilot, lambda: not chat(pilot).busy)
        await until(pilot, lambda: "Stopped" not in screen_text(pilot))
    assert len(history.messages(history.conversations()[0].id)) == 2


async def test_an_answer_stopped_before_its_first_piece_is_drawn_leaves_the_screen_alive(
    history: History,
) -> None:
    async with make_app(history, ScriptedChatModel(answers=("one", "two"))).run_test() as pilot:
        await ready(pilot)
        await ask(pilot, "Say a number")
        answer = chat(pilot).transcript.last_answer
        assert answer is not None
        answer._stream = answer.markdown.get_stream(answer.markdown)
        await answer.finish("one and a half")  # its task has not taken a step yet
        assert answer.content == "one and a half"
        await ask(pilot, "Another")
        assert answers(pilot)[-1] == "two"


async def test_letters_go_before_a_growing_answer(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.tui.painting.PAINT_WHILE_WRITING", 1.0)
    monkeypatch.setattr("assistant.tui.painting.WRITING", 100.0)
    model = HeldModel(("one two",))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await send(pilot, "Tell me")
        await until(pilot, lambda: answers(pilot) == ["one"])
        await until(pilot, lambda: "one" in screen_text(pilot))
        screen = chat(pilot)
        screen._painting._began = began = time.monotonic()
        await pilot.press("x")
        screen.post_message(AnswerGrew(screen._answering.run, " and a half"))
        await until(pilot, lambda: answers(pilot) == ["one and a half"])
        held = screen.transcript.last_answer
        assert held is not None
        if time.monotonic() - began < 0.9:  # the machine may have been busy
            assert "and a half" not in screen_text(pilot)
        await until(pilot, lambda: "one and a half" in screen_text(pilot))  # a little later
        model.go.set()
        await until(pilot, lambda: not screen.busy)


@pytest.mark.parametrize("looking", [True, False])
async def test_an_answer_that_ends_while_one_looks_elsewhere_rings(
    history: History, monkeypatch: pytest.MonkeyPatch, looking: bool
) -> None:
    model = HeldModel(("one two",))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        rung: list[bool] = []
        monkeypatch.setattr(pilot.app, "bell", lambda: rung.append(True))
        await ready(pilot)
        await send(pilot, "Tell me")
        await until(pilot, lambda: "one" in screen_text(pilot))
        if not looking:
            pilot.app.post_message(events.AppBlur())
            await until(pilot, lambda: not pilot.app.app_focus)
        model.go.set()
        await until(pilot, lambda: not chat(pilot).busy)
        await pilot.pause()
        assert rung == [True] * (not looking)


async def test_a_painting_that_takes_long_is_followed_by_a_rest(history: History) -> None:
    model = HeldModel(("one two",))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await send(pilot, "Tell me")
        await until(pilot, lambda: "one" in screen_text(pilot))
        painting, composer = chat(pilot)._painting, chat(pilot).desk.composer
        now = time.monotonic()
        painting._running, painting._took, composer.typed_at = False, 0.1, 0.0
        painting._began = now - 0.1
        assert 0.05 < painting._until_next() <= 0.1  # half of the time is left for keys
        composer.typed_at = now
        assert 0.3 < painting._until_next() <= 0.4  # more to someone who writes
        painting._took, painting._began = 30.0, now - 30.0
        assert painting._until_next() <= 1.0
        model.go.set()
        await until(pilot, lambda: not chat(pilot).busy)


async def test_blocks_that_come_later_leave_the_line_between_them_and_none_below(
    history: History,
) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "Say a number")
        markdown = chat(pilot).transcript.last_answer.markdown
        await markdown.update("one")
        for piece in ("\n\ntwo", "\n\n- a\n- b", "\n- c", "\n\n# end"):
            await markdown.append(piece)
            await pilot.pause()
            gaps = [block.styles.margin.bottom for block in markdown.children]
            assert gaps[-1] == 0
            assert all(gaps[:-1])
        assert len(gaps) == 4


async def test_regenerate_puts_another_answer_in_the_place_of_the_last(history: History) -> None:
    async with make_app(history, ScriptedChatModel(answers=("one", "two"))).run_test() as pilot:
        await ready(pilot)
        await ask(pilot, "Say a number")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not chat(pilot).busy)
        assert answers(pilot) == ["two"]
        last = chat(pilot).last_answer
        assert last is not None
        assert [m.content for m in history.siblings(last.id)] == ["one", "two"]


async def test_the_versions_of_an_answer_can_be_switched(history: History) -> None:
    async with make_app(history, ScriptedChatModel(answers=("one", "two"))).run_test() as pilot:
        await ready(pilot)
        await ask(pilot, "Say a number")
        assert "Version" not in screen_text(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not chat(pilot).busy)
        assert "Version 2 of 2" in screen_text(pilot)
        await pilot.press("alt+left")
        await until(pilot, lambda: answers(pilot) == ["one"])
        assert "Version 1 of 2" in screen_text(pilot)
        await pilot.press("alt+left")  # there is none before
        assert answers(pilot) == ["one"]
        conversation = history.conversations()[0].id
        assert [m.content for m in history.messages(conversation)] == ["Say a number", "one"]
        await ask(pilot, "And now?")  # goes on from the version that is shown
        assert [m.content for m in history.messages(conversation)][1] == "one"


async def test_a_message_sent_before_the_model_is_loaded_waits_for_it(history: History) -> None:
    loaded, model = Event(), ScriptedChatModel(answers=("Here I am",))

    app = make_app(history)
    app.chat._load_model = lambda: loaded.wait() and model  # type: ignore[assignment,return-value]
    async with app.run_test() as pilot:
        await send(pilot, "Are you there?")
        assert questions(pilot) == ["Are you there?"]
        assert "loading the model" in screen_text(pilot)
        assert not model.prompts
        loaded.set()
        await until(pilot, lambda: not chat(pilot).busy)
        assert answers(pilot) == ["Here I am"]


async def test_a_missing_model_is_a_calm_message_and_the_history_stays_readable(
    history: History,
) -> None:
    async with make_app(history, ScriptedChatModel(answers=("An old answer",))).run_test() as pilot:
        await ready(pilot)
        await ask(pilot, "An old question")
    error = ModelError("The model support-chat is missing", "Run `assistant models list`")
    async with make_app(history, error).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: chat(pilot).model_error)
        text = screen_text(pilot)
        assert "The model support-chat is missing" in text
        assert "Run `assistant models list`" in text
        assert "An old answer" in text
        await send(pilot, "A new question")
        assert chat(pilot).desk.composer.text == "A new question"
        assert questions(pilot) == ["An old question"]


async def test_a_question_that_waited_for_a_missing_model_comes_back(history: History) -> None:
    fail = Event()

    def load() -> ScriptedChatModel:
        fail.wait()
        raise ModelError("The model is damaged", "Install it again")

    app = make_app(history)
    app.chat._load_model = load
    async with app.run_test() as pilot:
        await send(pilot, "Are you there?")
        fail.set()
        await until(pilot, lambda: chat(pilot).model_error)
        assert chat(pilot).desk.composer.text == "Are you there?"
        assert questions(pilot) == []
        assert chat(pilot).query(Notice).first().text == "The model is damaged"
    assert history.conversations() == []


async def test_a_too_long_question_comes_back_into_the_composer(history: History) -> None:
    model = ScriptedChatModel(context_length=30)
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        question = "word " * 60
        await ask(pilot, question)
        assert chat(pilot).desk.composer.text == question.strip()
        await until(pilot, lambda: chat(pilot).query(TooLong))
        assert questions(pilot) == []
        assert "Too long: 69 tokens, the model reads 30" in screen_text(pilot)
        await pilot.press("enter")  # the harmless button has the focus
        assert not chat(pilot).query(TooLong)
        assert chat(pilot).desk.composer.text == question.strip()
        assert not model.prompts
    assert history.conversations() == []


@pytest.mark.parametrize(("button", "kept"), [("start", "w0"), ("end", "w59")])
async def test_a_too_long_question_can_be_shortened_to_its_start_or_end(
    history: History, button: str, kept: str
) -> None:
    model = ScriptedChatModel(context_length=40, options=GenerationOptions(max_tokens=20))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, " ".join(f"w{n}" for n in range(60)))
        await until(pilot, lambda: chat(pilot).query(TooLong))
        [choice] = [b for b in chat(pilot).query(Button) if b.name == button]
        choice.press()
        await until(pilot, lambda: answers(pilot) and not chat(pilot).busy)
        [question] = questions(pilot)
        assert kept in question.split()
        # the system prompt takes 7 of the 40, the answer 20, the message itself 2
        assert len(question.split()) == 11
        assert model.prompts[0][-1].content == question
        assert chat(pilot).desk.composer.text == ""


async def test_a_failing_model_leaves_a_note_and_the_program_running(history: History) -> None:
    model = ScriptedChatModel(answers=(ValueError("weights [red]melted[/]"), "Better now"))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "Try")
        assert "weights [red]melted[/]" in screen_text(pilot)
        await ask(pilot, "Again?")
        assert answers(pilot)[-1] == "Better now"


async def test_a_second_question_waits_in_the_composer_while_one_is_answered(
    history: History,
) -> None:
    model = HeldModel(answers=("first second",))
    async with make_app(history, model).run_test() as pilot:
        await ready(pilot)
        await send(pilot, "One")
        await until(pilot, lambda: answers(pilot) == ["first"])
        await send(pilot, "Two")
        assert chat(pilot).desk.composer.text == "Two"
        assert questions(pilot) == ["One"]


async def test_ctrl_c_stops_an_answer_first_and_leaves_the_second_time(history: History) -> None:
    app = make_app(history, HeldModel(answers=("first second",)))
    async with app.run_test() as pilot:
        await ready(pilot)
        await send(pilot, "Count")
        await until(pilot, lambda: answers(pilot) == ["first"])
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not chat(pilot).busy)
        assert app.is_running
        await pilot.press("ctrl+c")
    assert app.return_code == 0


async def test_leaving_while_an_answer_streams_stores_it_as_stopped(history: History) -> None:
    async with make_app(history, HeldModel(answers=("first second",))).run_test() as pilot:
        await ready(pilot)
        await send(pilot, "Count")
        await until(pilot, lambda: answers(pilot) == ["first"])
        await pilot.press("ctrl+n")
        assert questions(pilot) == []
        conversation = history.conversations()[0].id
        await until(pilot, lambda: history.messages(conversation)[-1].status == "stopped")
        assert history.messages(conversation)[-1].content == "first"
