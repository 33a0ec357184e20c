from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Button

from assistant.errors import ModelError
from assistant.history import History
from assistant.plugin_api import Analyzer, Detector, Report
from assistant.testing import ScriptedChatModel
from assistant.tui.pasted import PastedText, is_large, quoted, recognise
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.report_card import ReportCard
from tests.support.interface import (
    MAIL,
    REPORT,
    OnePlugin,
    ask,
    chat,
    make_app,
    questions,
    ready,
    screen_text,
    until,
)

LETTER = "\n".join(f"Line {n} of a letter" for n in range(8))


async def paste(pilot: Pilot[None], text: str) -> None:
    chat(pilot).desk.composer.focus()
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()
    await pilot.pause()


async def press(pilot: Pilot[None], label: str) -> None:
    [button] = [b for b in chat(pilot).query(Button) if str(b.label) == label and b.display]
    button.press()
    await pilot.pause()
    await pilot.pause()


def labels(pilot: Pilot[None]) -> list[str]:
    return [str(b.label) for b in chat(pilot).query(PasteChip).first().query(Button) if b.display]


@pytest.mark.parametrize(
    ("text", "large"),
    [("a\nb\nc\nd", False), ("a\r\nb\r\nc\r\nd\r\ne", True), ("a\rb\rc\rd\re", True),
     ("x" * 400, False), ("x" * 401, True), ("a\nb\nc\nd\n\n\n", False)],
)  # fmt: skip
def test_five_lines_or_more_than_400_characters_are_large(text: str, large: bool) -> None:
    assert is_large(text) is large


def test_the_label_counts_lines_and_bytes() -> None:
    assert PastedText("a\n" * 48).label == "Pasted text, 48 lines, 96 B"
    assert PastedText("é" * 1050).label == "Pasted text, 1 line, 2.1 kB"


def test_a_detector_that_raises_does_not_match_and_the_surest_one_names_the_kind() -> None:
    def broken(text: str) -> float:
        raise ValueError

    analyzers = {name: Analyzer(name, name, lambda *_: REPORT) for name in ("a", "b")}
    found = recognise(
        "text",
        [
            Detector("1", "poem", "a", broken),
            Detector("2", "letter", "b", lambda _: 0.6),
            Detector("3", "e-mail", "a", lambda _: 0.8),
            Detector("4", "list", "b", lambda _: 0.4),
            Detector("5", "bill", "missing", lambda _: 1.0),
        ],
        analyzers,
    )
    assert found.kind == "e-mail"
    assert [a.name for a in found.analyzers] == ["a", "b"]


def test_a_quoted_paste_follows_the_question() -> None:
    assert quoted("What is it?", "one\n\ntwo\n") == "What is it?\n\n> one\n>\n> two"


async def test_a_small_paste_goes_into_the_composer_without_control_characters(
    history: History,
) -> None:
    async with make_app(history).run_test() as pilot:
        await paste(pilot, "two\r\nlines\x1b[31m")
        assert chat(pilot).desk.composer.text == "two\nlines[31m"
        assert not chat(pilot).query(PasteChip)


async def test_a_large_paste_becomes_a_chip_and_reaches_nobody(history: History) -> None:
    model = ScriptedChatModel()
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await paste(pilot, LETTER)
        assert "Pasted text, 8 lines, 151 B" in screen_text(pilot)
        assert labels(pilot) == ["Discuss", "Insert as text", "Look", "Remove"]
        assert chat(pilot).desk.composer.text == ""
        await ask(pilot, "Hello")
        assert questions(pilot) == ["Hello"]
        assert "letter" not in str(model.prompts)
        assert chat(pilot).query(PasteChip)  # it still waits for a choice


async def test_a_paste_can_be_inserted_or_removed(history: History) -> None:
    async with make_app(history).run_test(size=(100, 30)) as pilot:
        await paste(pilot, LETTER)
        await press(pilot, "Remove")
        assert not chat(pilot).query(PasteChip)
        assert chat(pilot).desk.composer.text == ""
        await paste(pilot, LETTER)
        await press(pilot, "Insert as text")
        assert chat(pilot).desk.composer.text == LETTER
        assert chat(pilot).desk.composer.has_focus


async def test_a_paste_to_discuss_is_quoted_in_the_next_message_only(history: History) -> None:
    model = ScriptedChatModel()
    async with make_app(history, model).run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await paste(pilot, MAIL)
        await press(pilot, "Discuss")
        assert "goes with your next message" in screen_text(pilot)
        assert not model.prompts
        await ask(pilot, "Is this serious?")
        assert questions(pilot) == [quoted("Is this serious?", MAIL)]
        assert not chat(pilot).query(PasteChip)
        await ask(pilot, "Sure?")
        assert questions(pilot)[-1] == "Sure?"


async def test_a_recognised_paste_is_checked_and_its_report_shown_as_a_card(
    history: History,
) -> None:
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        await paste(pilot, MAIL)
        assert labels(pilot) == ["Check for spam", "Discuss", "Insert as text", "Look", "Remove"]
        await pilot.press("enter")  # the check has the focus
        await until(pilot, lambda: chat(pilot).query(ReportCard))
        text = screen_text(pilot)
        for part in (
            "SPAM",
            "97 %",
            "It asks for a password [bold]now[/]",
            "Presses for time",
            "+1.40",
            "“within 24 hours”",
            "−0.30",
            "bank@example.org",
            "Do not click",
        ):
            assert part in text, part
        assert not chat(pilot).query(PasteChip)
        await press(pilot, "Discuss this text")
        assert chat(pilot).query(PasteChip).first().attached
    assert history.conversations() == []  # nothing of it is in the history


async def test_the_analyzer_gets_the_paste_as_it_arrived_but_for_line_ends(
    history: History,
) -> None:
    seen: list[str] = []

    def analyze(text: str, progress: Callable[[float], None], cancel: Event) -> Report:
        seen.append(text)
        return REPORT

    async with make_app(history, plugins=OnePlugin(analyze)).run_test(size=(100, 30)) as pilot:
        raw = MAIL.replace("\n", "\r\n") + "\u202e\x1b[0m"
        await paste(pilot, raw)
        await press(pilot, "Check for spam")
        await until(pilot, lambda: chat(pilot).query(ReportCard))
    assert seen == [MAIL + "\u202e\x1b[0m"]


async def test_escape_cancels_a_check_and_the_paste_is_still_there(history: History) -> None:
    cancelled = Event()

    def analyze(text: str, progress: Callable[[float], None], cancel: Event) -> Report:
        progress(0.25)
        cancel.wait()
        cancelled.set()
        return REPORT

    async with make_app(history, plugins=OnePlugin(analyze)).run_test(size=(100, 30)) as pilot:
        await paste(pilot, MAIL)
        await press(pilot, "Check for spam")
        await until(pilot, lambda: "Esc cancels" in screen_text(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "Esc cancels" not in screen_text(pilot))
        assert cancelled.wait(10)
        assert labels(pilot)[0] == "Check for spam"
        assert not chat(pilot).query(ReportCard)


@pytest.mark.parametrize(
    "error", [ModelError("The model email-spam is missing", "Install it"), KeyError("[/oops]")]
)
async def test_a_check_that_fails_is_a_line_and_the_paste_is_still_there(
    history: History, error: Exception
) -> None:
    def analyze(text: str, progress: Callable[[float], None], cancel: Event) -> Report:
        raise error

    async with make_app(history, plugins=OnePlugin(analyze)).run_test(size=(100, 30)) as pilot:
        await paste(pilot, MAIL)
        await press(pilot, "Check for spam")
        await until(pilot, lambda: chat(pilot).query(PasteChip).first().display)
        text = screen_text(pilot)
        assert "The model email-spam is missing" in text or "[/oops]" in text


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_paste_is_recognised_whatever_its_line_ends(end: str) -> None:
    plugin = OnePlugin()
    found = recognise(MAIL.replace("\n", end), plugin.detectors(), plugin.analyzers())
    assert found.kind == "e-mail"
    assert found.raw == MAIL
