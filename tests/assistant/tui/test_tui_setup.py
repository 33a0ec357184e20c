"""Options, system prompt, model, themes, the context lens, help and jump mode."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from assistant.chat import ShowsTokens
from assistant.errors import BadInputError, ModelError
from assistant.history import History
from assistant.testing import ScriptedChatModel
from assistant.tui.screens.help import HelpScreen, read_help
from assistant.tui.screens.jump import JumpScreen
from assistant.tui.screens.lens import LensScreen
from assistant.tui.screens.options import OptionsScreen
from assistant.tui.screens.text import TextScreen
from assistant.tui.settings import Settings
from assistant.tui.user_themes import read_theme, user_themes
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


async def test_the_form_of_options_says_what_is_wrong_and_saves_what_is_right(
    history: History,
) -> None:
    async with make_app(history).run_test(size=(100, 40)) as pilot:
        await ready(pilot)
        await send(pilot, "/options")
        screen = pilot.app.screen
        assert isinstance(screen, OptionsScreen)
        field = screen.query(Input).first()
        field.value = "hot"
        await pilot.pause()
        assert "temperature must be a number from 0 to 2, not hot" in screen_text(pilot)
        await pilot.press("enter")
        assert pilot.app.screen is screen
        field.value = "0.5"
        await pilot.press("enter")
        assert chat(pilot).session().options.temperature == 0.5
        await send(pilot, "/options temprature=1")
        assert "Did you mean temperature" in [t.message for t in pilot.app._notifications][-1]


async def test_the_system_prompt_is_changed_on_a_page(history: History) -> None:
    model = ScriptedChatModel()
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await send(pilot, "/system")
        assert isinstance(pilot.app.screen, TextScreen)
        pilot.app.screen.query_one(TextArea).text = "Be brief."
        await pilot.press("ctrl+s")
        await ask(pilot, "One")
    assert model.prompts[0][0].content == "Be brief."


async def test_another_model_answers_and_a_missing_one_leaves_the_old(history: History) -> None:
    first, second = ScriptedChatModel(answers=("a",)), ScriptedChatModel(("b",), name="other")

    def named(name: str):
        def load() -> ScriptedChatModel:
            if name != "other":
                raise ModelError(f"There is no model named {name}")
            return second

        return load

    app = make_app(history, first, model_named=named)
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "One")
        await send(pilot, "/model nothing")
        await until(pilot, lambda: [t for t in app._notifications if "no model named" in t.message])
        assert chat(pilot).model is first
        await send(pilot, "/model other")
        await until(pilot, lambda: chat(pilot).model is second)
        await ask(pilot, "Two")
        assert answers(pilot) == ["a", "b"]
        assert "other" in screen_text(pilot).splitlines()[-2]
    assert second.prompts[0][-1].content == "Two"


async def test_the_lens_shows_every_token_and_what_falls_out(history: History) -> None:
    model = ScriptedChatModel(answers=("short",), context_length=60)
    assert isinstance(model, ShowsTokens)
    async with make_app(history, model).run_test(size=(100, 40)) as pilot:
        await ready(pilot)
        await ask(pilot, "forgotten " * 20)
        await ask(pilot, "remembered " * 20)
        chat(pilot).desk.composer.load_text("next " * 5)
        await pilot.press("ctrl+l")
        assert isinstance(pilot.app.screen, LensScreen)
        text = screen_text(pilot)
        assert "of 60 tokens" in text
        assert "user: forgotten" in text[text.index("Falls out") :]
        tokens = str(pilot.app.screen.query_one("#lens-tokens").render())
        assert tokens.count("next") == 5
        assert "forgotten" not in tokens
        assert "<system>" in tokens
        await pilot.press("escape")
        assert chat(pilot).desk.composer.text == "next " * 5


async def test_words_after_a_command_are_completed(history: History) -> None:
    async with make_app(history).run_test(size=(100, 40)) as pilot:
        await ready(pilot)
        composer = chat(pilot).desk.composer
        composer.load_text("/theme ")
        await pilot.pause()
        assert "frontdesk-light" in screen_text(pilot)
        composer.write("/theme frontdesk-l")
        await pilot.pause()
        await pilot.press("enter")
        assert pilot.app.theme == "frontdesk-light"
        assert composer.text == ""
        composer.write("/options tem")
        await pilot.pause()
        await pilot.press("tab")
        assert composer.text == "/options temperature="
        await send(pilot, "/theme nonsense")
        assert "no theme nonsense" in [t.message for t in pilot.app._notifications][-1]


async def test_help_is_made_of_what_each_widget_says_the_focused_first(history: History) -> None:
    async with make_app(history).run_test(size=(100, 130)) as pilot:
        await ready(pilot)
        await ask(pilot, "One")
        await pilot.press("f1")
        assert isinstance(pilot.app.screen, HelpScreen)
        text = screen_text(pilot)
        for widget in (chat(pilot).desk.composer, chat(pilot).transcript, chat(pilot).sidebar):
            heading = read_help(widget.HELP).heading
            assert heading in text
        assert text.index("Writing") < text.index("Reading")
        await pilot.press("escape", "shift+tab", "f1")
        text = screen_text(pilot)
        assert text.index("Reading") < text.index("Writing")


async def test_jump_mode_goes_where_its_letter_stands(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "One")
        await pilot.press("alt+j")
        screen = pilot.app.screen
        assert isinstance(screen, JumpScreen)
        letters = {type(widget).__name__: letter for letter, widget in screen._targets.items()}
        await pilot.press(letters["Question"])
        await until(pilot, lambda: chat(pilot).chosen is not None)
        assert chat(pilot).chosen.content == "One"
        await pilot.press("alt+j", letters["Composer"])
        await until(pilot, lambda: chat(pilot).desk.composer.has_focus)
        await pilot.press("alt+j", "escape")
        assert pilot.app.screen is chat(pilot)


async def test_the_palette_offers_what_can_be_done_now(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        offered = {title for title, _, _ in chat(pilot).palette()}
        assert {"New conversation", "Private conversation", "Options"} <= offered
        assert not {"Answer again", "Delete conversation", "Stop"} & offered
        await ask(pilot, "One")
        offered = {title for title, _, _ in chat(pilot).palette()}
        assert {"Answer again", "Delete conversation", "Export", "Edit question"} <= offered
        await send(pilot, "/private")
        assert "Private conversation" not in {title for title, _, _ in chat(pilot).palette()}


# --- themes and motion -------------------------------------------------------------------

THEME = 'primary = "#336699"\nbackground = "ansi_black"\ndark = true\n[variables]\nborder = "red"\n'


async def test_a_theme_of_ones_own_is_chosen_and_remembered(
    history: History, tmp_path: Path
) -> None:
    (tmp_path / "sea.toml").write_text(THEME)
    (tmp_path / "broken.toml").write_text("primary = ")
    themes, errors = user_themes(tmp_path)
    assert [theme.name for theme in themes] == ["sea"]
    assert "broken.toml" in errors[0].message
    path = tmp_path / "settings.json"
    async with make_app(history, settings=Settings(path), themes=themes).run_test() as pilot:
        await send(pilot, "/theme sea")
    async with make_app(history, settings=Settings(path), themes=themes).run_test() as pilot:
        assert pilot.app.theme == "sea"
    async with make_app(history, settings=Settings(path)).run_test() as pilot:  # the file is gone
        assert pilot.app.theme == "frontdesk-dark"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no primary"),
        ('primary = "no colour"', "primary is no colour"),
        ("primary = 7", "primary is no colour"),
        ('primary = "red"\nfont = "x"', "unknown key font"),
        ('primary = "red"\ndark = "yes"', "dark is true or false"),
        ('primary = "red"\nvariables = 3', "variables a table"),
    ],
)
def test_a_wrong_theme_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=said):
        read_theme(path)


async def test_nothing_moves_where_a_person_does_not_want_it(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.json"
    async with make_app(history, settings=Settings(path)).run_test() as pilot:
        assert pilot.app.animation_level != "none"
        pilot.app.action_toggle_motion()
        assert pilot.app.animation_level == "none"
        assert not chat(pilot).desk.composer.cursor_blink
    async with make_app(history, settings=Settings(path)).run_test() as pilot:
        assert pilot.app.animation_level == "none"
    monkeypatch.setenv("FRONTDESK_REDUCED_MOTION", "1")
    async with make_app(history).run_test() as pilot:
        assert pilot.app.animation_level == "none"
        assert not chat(pilot).desk.composer.cursor_blink


async def test_without_colour_everything_is_still_there(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await ask(pilot, "One")
        assert questions(pilot) == ["One"]
        colours = [
            colour.triplet
            for strip in pilot.app.screen._compositor.render_strips()
            for segment in strip
            if segment.style is not None
            for colour in (segment.style.color, segment.style.bgcolor)
            if colour is not None and colour.triplet is not None
        ]
        assert colours
        assert all(max(c) - min(c) <= 2 for c in colours)


@pytest.mark.parametrize(
    ("term", "theme"), [("xterm", "frontdesk-16"), ("xterm-256color", "frontdesk-dark")]
)
async def test_a_terminal_of_16_colours_gets_a_theme_that_is_legible_there(
    history: History, monkeypatch: pytest.MonkeyPatch, term: str, theme: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORTERM", raising=False)
    async with make_app(history).run_test() as pilot:
        assert pilot.app.theme == theme
