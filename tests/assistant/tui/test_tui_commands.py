from __future__ import annotations

import pytest

from assistant.history import History
from assistant.plugin_api import Report, SlashCommand
from assistant.testing import ScriptedChatModel
from assistant.tui.screens.confirm import ConfirmScreen
from assistant.tui.screens.help import HelpScreen
from assistant.tui.screens.search import SearchScreen
from assistant.tui.slash import SlashTable
from assistant.tui.widgets.completions import Completions
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.report_card import ReportCard
from tests.support.interface import (
    REPORT,
    OnePlugin,
    ask,
    chat,
    make_app,
    questions,
    ready,
    screen_text,
    send,
    until,
)


def test_completion_ends_where_an_argument_begins() -> None:
    table = SlashTable()
    assert [c.text for c in table.matching("/re")] == ["/rename ", "/regenerate"]
    assert table.matching("/rename x") == []
    assert table.matching("re") == []
    assert table.matching("/zz") == []


def test_a_misspelt_command_has_a_suggestion_and_nonsense_has_none() -> None:
    table = SlashTable([SlashCommand("spam", "Check", lambda _: "")])
    assert table.suggestion("regenrate") == "regenerate"
    assert table.suggestion("sapm") == "spam"
    assert table.suggestion("zzzzzz") == ""


def test_a_plugin_cannot_take_the_name_of_a_built_in_command() -> None:
    table = SlashTable([SlashCommand("quit", "Not what it says", lambda _: "")])
    assert table.commands["quit"].plugin is None


async def test_typing_a_slash_lists_commands_and_tab_completes(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await pilot.press("/", "r", "e")
        completions = chat(pilot).query_one(Completions)
        assert completions.display
        assert "/rename TITLE" in screen_text(pilot)
        await pilot.press("down", "tab")
        assert chat(pilot).desk.composer.text == "/regenerate"
        await pilot.press(*["backspace"] * 11, "h", "i")
        assert not completions.display


async def test_enter_on_a_completed_command_runs_it(history: History) -> None:
    async with make_app(history).run_test(size=(100, 130)) as pilot:
        await pilot.press("/", "h", "e", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, HelpScreen)
        assert "/spam" in screen_text(pilot)
        await pilot.press("escape")
        assert chat(pilot).desk.composer.text == ""


async def test_an_unknown_command_is_not_sent_and_gets_a_suggestion(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await send(pilot, "/serch password")
        [toast] = pilot.app._notifications
        assert toast.message == "There is no command /serch. Did you mean /search?"
        assert chat(pilot).desk.composer.text == "/serch password"
        assert questions(pilot) == []


async def test_a_path_at_the_start_of_a_message_is_no_command(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "/etc/hosts is empty, why?")
        assert questions(pilot) == ["/etc/hosts is empty, why?"]


async def test_new_begins_an_empty_conversation_and_the_old_one_stays(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/new")
        assert questions(pilot) == []
        assert "How can I reset my password?" in screen_text(pilot)  # the welcome is back
        await ask(pilot, "Second")
    assert [c.title for c in history.conversations()] == ["Second", "First"]


async def test_rename_changes_the_title_in_the_list(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/rename About [red]parcels[/]")
        assert "About [red]parcels[/]" in screen_text(pilot)
    assert history.conversations()[0].title == "About [red]parcels[/]"


async def test_delete_asks_first(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "First")
        await send(pilot, "/delete")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await pilot.press("enter")  # the harmless answer has the focus
        assert len(history.conversations()) == 1
        await send(pilot, "/delete")
        await pilot.press("y")
        await until(pilot, lambda: not history.conversations())
        assert questions(pilot) == []


async def test_search_finds_and_opens_a_conversation(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "Where is my [b]parcel[/b]?")
        await send(pilot, "/new")
        await ask(pilot, "How do I reset my password?")
        await send(pilot, "/search parcel")
        assert isinstance(pilot.app.screen, SearchScreen)
        assert "Where is my [b]parcel[/b]?" in screen_text(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: questions(pilot) == ["Where is my [b]parcel[/b]?"])
        await pilot.press("ctrl+f", "z", "z", "z")
        assert "Nothing found" in screen_text(pilot)


async def test_copy_puts_the_last_answer_on_the_clipboard(history: History) -> None:
    model = ScriptedChatModel(answers=("Use **bold** words",))
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "How?")
        await pilot.press("ctrl+y")
        assert pilot.app.clipboard == "Use **bold** words"


@pytest.mark.parametrize("result", [REPORT, "All [b]fine[/b]"])
async def test_a_plugins_command_shows_its_report_or_text(
    history: History, result: Report | str
) -> None:
    plugins = OnePlugin(run=lambda arguments: result)
    async with make_app(history, plugins=plugins).run_test(size=(100, 40)) as pilot:
        await send(pilot, "/spam mail.eml")
        await until(pilot, lambda: chat(pilot).query("ReportCard, Notice"))
        if isinstance(result, Report):
            assert chat(pilot).query(ReportCard).first().report == result
        else:
            assert chat(pilot).query(Notice).first().text == result


async def test_quit_leaves(history: History) -> None:
    app = make_app(history)
    async with app.run_test() as pilot:
        await send(pilot, "/quit")
    assert app.return_code == 0
