"""The report card: passages, actions, and what it hands to the chat."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from assistant.errors import ModelError
from assistant.history import History
from assistant.plugin_api import Action, Passage, Report
from assistant.tui.widgets.paste_chip import PasteChip
from assistant.tui.widgets.report_card import ReportCard
from tests.support.interface import REPORT, chat, make_app, screen_text, until

PASSAGES = (
    Passage("Dear customer, \x1b[31m[bold]hello[/]"),
    Passage("Confirm your password", 1.4),
    Passage("Thanks", -0.3),
)


async def show(pilot: Pilot[None], report: Report) -> ReportCard:
    card = ReportCard(report)
    await chat(pilot).transcript.add(card)
    await pilot.pause()
    return card


def buttons(card: ReportCard) -> dict[str, Button]:
    return {str(b.label): b for b in card.query(Button) if b.display}


async def test_telling_passages_are_highlighted_and_nothing_is_markup(history: History) -> None:
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        card = await show(pilot, replace(REPORT, passages=PASSAGES))
        text = screen_text(pilot)
        assert "Dear customer, [31m[bold]hello[/]" in text
        content = card._passages()
        styled = {content.plain[s.start : s.end]: str(s.style) for s in content.spans}
        assert "underline" in styled["Confirm your password"]
        assert "$success" in styled["Thanks"]
        assert "underline" not in styled["Dear customer, [31m[bold]hello[/]"]


async def test_passages_that_moved_nothing_are_not_shown(history: History) -> None:
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        await show(pilot, replace(REPORT, passages=(Passage("Dear customer"),)))
        assert "Dear customer" not in screen_text(pilot)


async def test_an_action_runs_once_and_says_what_happened(history: History) -> None:
    done: list[str] = []

    def learn() -> str:
        done.append("spam")
        return "Remembered [as] spam\x1b[2J"

    actions = (Action("It is spam", learn), Action("It is fine", lambda: "no"))
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        card = await show(pilot, replace(REPORT, actions=actions))
        assert list(buttons(card)) == ["It is spam", "It is fine"]
        buttons(card)["It is spam"].press()
        await until(pilot, lambda: "Remembered [as] spam[2J" in screen_text(pilot))
        assert done == ["spam"]
        assert buttons(card) == {}


async def test_an_action_can_be_taken_back_where_it_stands(history: History) -> None:
    said: list[str] = []

    def learn() -> str:
        said.append("spam")
        return f"Remembered {len(said)}"

    def forget() -> str:
        said.pop()
        return "Forgotten"

    actions = (Action("It is spam", learn, forget), Action("It is fine", lambda: "no"))
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        card = await show(pilot, replace(REPORT, actions=actions))
        for _ in range(2):
            buttons(card)["It is spam"].press()
            await until(pilot, lambda: "Remembered 1" in screen_text(pilot))
            assert list(buttons(card)) == ["Undo"]
            buttons(card)["Undo"].press()
            await until(pilot, lambda: "Forgotten" in screen_text(pilot))
            assert said == []
            assert list(buttons(card)) == ["It is spam", "It is fine"]


async def test_an_undo_that_fails_can_be_tried_again(history: History) -> None:
    def fail() -> str:
        raise ModelError("Database locked", "Try again")

    actions = (Action("It is spam", lambda: "Remembered", fail),)
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        card = await show(pilot, replace(REPORT, actions=actions))
        buttons(card)["It is spam"].press()
        await until(pilot, lambda: "Remembered" in screen_text(pilot))
        buttons(card)["Undo"].press()
        await until(pilot, lambda: "Database locked" in screen_text(pilot))
        assert list(buttons(card)) == ["Undo"]
        assert not buttons(card)["Undo"].disabled


@pytest.mark.parametrize("error", [ModelError("No embeddings", "Update"), KeyError("[/oops]")])
async def test_an_action_that_fails_can_be_tried_again(history: History, error: Exception) -> None:
    def fail() -> str:
        raise error

    async with make_app(history).run_test(size=(100, 50)) as pilot:
        card = await show(pilot, replace(REPORT, actions=(Action("It is spam", fail),)))
        buttons(card)["It is spam"].press()
        await until(pilot, lambda: card.query(".card-outcome"))
        text = screen_text(pilot)
        assert "No embeddings. Update" in text or "[/oops]" in text
        assert not buttons(card)["It is spam"].disabled


async def test_the_chat_gets_the_quotation_in_place_of_the_text(history: History) -> None:
    async with make_app(history).run_test(size=(100, 50)) as pilot:
        card = await show(pilot, replace(REPORT, quotation="[Not to be trusted]\nhxxp://a[.]b"))
        buttons(card)["Discuss this text"].press()
        await until(pilot, lambda: chat(pilot).query(PasteChip))
        chip = chat(pilot).query(PasteChip).first()
        assert chip.attached
        assert chip.pasted.text == "[Not to be trusted]\nhxxp://a[.]b"
        assert chip.pasted.kind == "e-mail"
