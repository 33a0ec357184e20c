from __future__ import annotations

import gc
import json
import weakref
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from textual.widgets import OptionList

from assistant.chat import GenerationOptions
from assistant.history import History
from assistant.testing import ScriptedChatModel
from assistant.tui.screens.search import SearchScreen
from assistant.tui.settings import Settings
from assistant.tui.widgets.key_line import KeyLine
from assistant.tui.widgets.plain_markdown import plain_parser
from assistant.tui.widgets.sidebar import day_of
from assistant.tui.widgets.timeline import PAGE
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

HOSTILE = "[bold]x[/] [@click=app.quit]y[/] \x1b]0;title\x07\x1b[31mred\u202eevil {oops} \\["


async def test_a_restart_shows_the_last_conversation(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/new")
        await ask(pilot, "Second")
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        assert questions(pilot) == ["Second"]
        assert answers(pilot) == ["Hello! What can I help you with?"]
        await ask(pilot, "Third")
    assert [c.title for c in history.conversations()] == ["Second", "First"]
    assert len(history.messages(history.conversations()[0].id)) == 4


async def test_a_given_conversation_is_opened(history: History) -> None:
    async with make_app(history).run_test() as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/new")
        await ask(pilot, "Second")
    first = history.conversations()[1].id
    async with make_app(history, conversation_id=first).run_test() as pilot:
        await pilot.pause()
        assert questions(pilot) == ["First"]


async def test_an_interrupted_answer_is_marked_and_can_be_continued(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    conversation = history.create_conversation("scripted", "")
    question = history.add_user_message(conversation.id, "Count")
    answer = history.begin_answer(question.id, "scripted", {})
    history.update_answer(answer.id, "one two")
    history.finish_answer(answer.id, "one two", "interrupted")
    model = ScriptedChatModel(answers=(" three",))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        assert "Interrupted" in screen_text(pilot)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: not chat(pilot).busy)
        assert answers(pilot) == ["one two three"]
        assert "Interrupted" not in screen_text(pilot)
    history.close()


async def test_the_welcomes_examples_can_be_clicked(history: History) -> None:
    model = ScriptedChatModel()
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.click("#examples", offset=(5, 0))
        await until(pilot, lambda: answers(pilot) and not chat(pilot).busy)
        assert questions(pilot) == ["How can I reset my password?"]


async def test_the_welcomes_examples_can_be_chosen_by_keyboard(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.press("up", "up", "up", "enter")
        await until(pilot, lambda: answers(pilot) and not chat(pilot).busy)
        assert questions(pilot) == ["How can I reset my password?"]
        assert chat(pilot).desk.composer.has_focus


async def test_markup_and_control_characters_are_shown_inert(history: History) -> None:
    model = ScriptedChatModel(answers=(HOSTILE,))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, HOSTILE)
        text = screen_text(pilot)
        assert text.count("[bold]x[/] [@click=app.quit]y[/]") >= 2
        assert not any(c in text for c in "\x1b\x07\u202e")
    async with make_app(history).run_test(size=(100, 30)) as pilot:  # from the history, too
        await pilot.pause()
        text = screen_text(pilot)
        assert text.count("[bold]x[/] [@click=app.quit]y[/]") >= 2
        assert not any(c in text for c in "\x1b\x07\u202e")


async def test_links_show_their_address_and_html_is_text(history: History) -> None:
    answer = "See [our bank](http://evil.example/x) and <b>this</b> ![pic](http://evil.example/p)"
    model = ScriptedChatModel(answers=(answer,))
    async with make_app(history, model).run_test(size=(160, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "Where?")
        text = screen_text(pilot)
        assert "our bank (http://evil.example/x)" in text
        assert "<b>this</b>" in text
        assert "pic (http://evil.example/p)" in text


def test_the_parser_leaves_no_links_or_images() -> None:
    tokens = plain_parser().parse("[a *b*](http://x) <http://y> ![c](http://z) [d][e]\n\n[e]: /f")
    inline = tokens[1].children or []
    assert not {"link_open", "link_close", "image", "html_inline"} & {t.type for t in inline}
    text = "".join(t.content for t in inline)
    assert text == "a b (http://x) http://y c (http://z) d (/f)"


@pytest.mark.parametrize("size", [(40, 20), (80, 24), (200, 60), (20, 8)])
async def test_every_size_shows_the_composer_and_does_not_crash(
    history: History, size: tuple[int, int]
) -> None:
    async with make_app(history).run_test(size=size) as pilot:
        await ready(pilot)
        await ask(pilot, "Is there room?")
        composer = chat(pilot).desk.composer
        assert chat(pilot).region.contains_region(composer.region)
        assert composer.region.height >= 1
        assert composer.region.width >= 8
        if size[1] >= 20:
            assert "Hello! What can I help you with?" in screen_text(pilot)
        assert chat(pilot).sidebar.display == (size[0] >= 90)


async def test_the_composer_grows_with_its_text_and_keeps_new_lines(history: History) -> None:
    async with make_app(history).run_test(size=(100, 40)) as pilot:
        composer = chat(pilot).desk.composer
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c")
        assert composer.text == "a\nb\nc"
        await pilot.pause()
        assert composer.size.height == 3
        composer.load_text("\n" * 30)
        await pilot.pause()
        assert composer.size.height == 10


async def test_the_list_of_conversations_is_toggled_and_opens_on_narrow_screens(
    history: History,
) -> None:
    async with make_app(history).run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/new")
        await pilot.press("ctrl+b")
        assert chat(pilot).sidebar.display
        assert "Today" in screen_text(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: questions(pilot) == ["First"])
        assert not chat(pilot).sidebar.display
        assert chat(pilot).desk.composer.has_focus


async def test_the_list_over_a_narrow_screen_goes_when_one_writes(history: History) -> None:
    async with make_app(history).run_test(size=(50, 24)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await pilot.press("ctrl+b")
        assert chat(pilot).sidebar.display
        await pilot.press("H")
        await until(pilot, lambda: not chat(pilot).sidebar.display)
        assert chat(pilot).desk.composer.text == "H"


async def test_an_action_that_cannot_be_done_is_not_in_the_footer(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        assert "Again" not in screen_text(pilot).splitlines()[-1]
        await ask(pilot, "First")
        footer = screen_text(pilot).splitlines()[-1]
        assert "Again" in footer
        assert "Copy" in footer
        assert "Continue" not in footer


async def test_the_keys_that_mean_something_can_be_clicked(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        line = chat(pilot).query_one(KeyLine)
        (search,) = [hint for hint in line.hints() if "Search" in hint.words.plain]
        await pilot.hover(line, offset=(search.start + 3, 0))
        assert any("underline" in str(span.style) for span in line.render().spans)
        await pilot.click(line, offset=(search.start + 3, 0))
        await pilot.pause()
        assert isinstance(pilot.app.screen, SearchScreen)


@pytest.mark.parametrize("columns", [24, 40, 60, 100])
async def test_no_key_is_shown_by_half(history: History, columns: int) -> None:
    async with make_app(history).run_test(size=(columns, 30)) as pilot:
        await ready(pilot)
        line = chat(pilot).query_one(KeyLine)
        assert 0 < line.render().cell_length <= line.size.width


async def test_the_keys_behind_another_screen_stay_as_they_were(history: History) -> None:
    async with make_app(history).run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await ask(pilot, "Is there room?")
        await pilot.press("shift+tab")
        await pilot.pause()
        keys = chat(pilot).query_one(KeyLine)
        before = [hint.words.plain for hint in keys.hints()]
        assert "y Copy" in before
        assert "c Code" not in before  # there is none
        await pilot.press("ctrl+p")
        await until(pilot, lambda: pilot.app.screen is not chat(pilot))
        chat(pilot).refresh_bindings()
        await pilot.pause()
        assert [hint.words.plain for hint in keys.hints()] == before


async def test_the_status_line_tells_model_context_and_speed(history: History) -> None:
    model = ScriptedChatModel(options=GenerationOptions())
    async with make_app(history, model).run_test(size=(120, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "One two three")
        # words and two a message: system 7, question 5; the answer has 7 words
        line = next(row for row in screen_text(pilot).splitlines() if "scripted" in row)
        assert "19/2048 tokens" in line
        assert "100 tokens/s" in line


async def test_the_notice_of_a_private_session_is_shown(history: History) -> None:
    app = make_app(history, notice="The disk is full. This session is private")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "The disk is full. This session is private" in screen_text(pilot)


async def test_long_conversations_open_at_the_end_and_show_earlier_messages_on_demand(
    history: History,
) -> None:
    conversation = history.create_conversation("scripted", "")
    for number in range(PAGE):
        question = history.add_user_message(conversation.id, f"Question {number}")
        answer = history.begin_answer(question.id, "scripted", {})
        history.finish_answer(answer.id, f"Answer {number}", "complete")
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: chat(pilot).query("#earlier"))
        assert len(questions(pilot)) == PAGE // 2
        assert questions(pilot)[-1] == f"Question {PAGE - 1}"
        chat(pilot).query_one("#earlier").press()
        await until(pilot, lambda: len(questions(pilot)) == PAGE)
        assert questions(pilot)[0] == "Question 0"
        assert not chat(pilot).query("#earlier")


async def test_the_chosen_theme_is_remembered(history: History, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    async with make_app(history, settings=Settings(path)).run_test() as pilot:
        pilot.app.theme = "frontdesk-light"
        await pilot.pause()
    assert json.loads(path.read_text()) == {"theme": "frontdesk-light"}
    async with make_app(history, settings=Settings(path)).run_test() as pilot:
        assert pilot.app.theme == "frontdesk-light"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"theme": 7}', '{"theme": "no such"}'])
async def test_damaged_settings_mean_the_defaults(
    history: History, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    async with make_app(history, settings=Settings(path)).run_test() as pilot:
        assert pilot.app.theme == "frontdesk-dark"


async def test_the_command_palette_opens(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: pilot.app.screen.query(OptionList))
        await until(pilot, lambda: "New conversation" in screen_text(pilot))


def test_days_are_named_for_people() -> None:
    now = datetime.now(UTC)
    today = now.astimezone().date()
    assert day_of(now.isoformat(), today) == "Today"
    assert day_of((now - timedelta(days=1)).isoformat(), today) == "Yesterday"
    assert day_of("2025-03-03T12:00:00Z", date(2025, 6, 1)) == "3 March"
    assert day_of("2024-03-03T12:00:00Z", date(2025, 6, 1)) == "3 March 2024"
    assert day_of("nonsense", today) == "Earlier"


async def test_what_leaves_the_screen_leaves_the_memory(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.tui.widgets.timeline.MOST", 4)
    async with make_app(history).run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await ask(pilot, "The first of them")
        first = chat(pilot).transcript.last_answer
        assert first is not None
        gone = [weakref.ref(widget) for widget in first.walk_children(with_self=True)]
        lines = [weakref.ref(widget()._styles_cache) for widget in gone]
        del first
        for number in range(4):
            await ask(pilot, f"Question {number}")
        gc.collect()
        assert [widget() for widget in gone if widget() is not None] == []
        assert [cache() for cache in lines if cache() is not None] == []
