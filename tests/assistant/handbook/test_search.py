"""Finding entries: what is close enough, what is shown, what is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.conversation import HandbookEntry
from assistant.errors import ModelError
from assistant.handbook.entries import read_entries, write_entries
from assistant.handbook.query import search_text
from assistant.handbook.search import Handbook, HandbookSettings
from tests.support.handbook import ENTRIES, WordEncoder, tiny_handbook

LONG = (
    "Where do I find the customs form for a parcel I want to return to a shop in Switzerland "
    "next week?"
)
REFERRING = (
    "I restarted it and pulled the plug and waited for a while but nothing at all happens on "
    "the display"
)


def _ids(handbook: Handbook, *questions: str) -> list[str]:
    return [found.entry.id for found in handbook.find(questions)]


def test_the_closest_phrasing_of_an_entry_counts() -> None:
    (best, *_) = tiny_handbook().find(["forgot my password, how do I reset it"])
    assert best.entry.id == "acc-0001"
    assert best.score == pytest.approx(1.0)


def test_an_entry_is_shown_once_however_many_phrasings_fit() -> None:
    handbook = tiny_handbook(shown=4, threshold=0.01, margin=2)
    assert _ids(handbook, "reset my password").count("acc-0001") == 1


def test_nothing_is_shown_when_nothing_is_close() -> None:
    assert _ids(tiny_handbook(), "zebra crossing") == []
    assert _ids(tiny_handbook(), "  ") == []
    assert tiny_handbook().find([]) == []


def test_a_distant_second_entry_is_left_out() -> None:
    question = "My parcel has not arrived"
    entries = [*ENTRIES, HandbookEntry("ord-0002", "t", "My parcel arrived late", "Ask.", ())]
    assert _ids(tiny_handbook(entries, margin=0.6), question) == ["ord-0001", "ord-0002"]
    assert _ids(tiny_handbook(entries, margin=0.1), question) == ["ord-0001"]
    assert _ids(tiny_handbook(entries, margin=0.6, shown=1), question) == ["ord-0001"]


def test_of_one_dialogue_the_best_entry_is_shown() -> None:
    handbook = tiny_handbook(margin=0.9, threshold=0.1, shown=4)
    for question, best in (
        ("My parcel has not arrived", "ord-0001"),
        ("My parcel has not arrived, tracking says delivered", "ord-0001.2"),
    ):
        found = _ids(handbook, question)
        assert [name for name in found if name.startswith("ord")] == [best]


def test_a_follow_up_is_looked_for_with_what_it_goes_back_to() -> None:
    handbook = tiny_handbook()
    assert _ids(handbook, "My parcel has not arrived", "tracking says delivered")[0] == "ord-0001.2"


def test_small_talk_is_answered_as_such_whatever_was_asked_before() -> None:
    thanks = HandbookEntry("con-0001", "chat/thanks", "thanks, that worked", "Glad to hear it.")
    handbook = tiny_handbook([*ENTRIES, thanks])
    before = "My parcel has not arrived"
    assert _ids(handbook, before, "thanks that worked") == ["con-0001"]
    assert _ids(handbook, before, "tracking says delivered")[0] == "ord-0001.2"


@pytest.mark.parametrize(
    ("questions", "text"),
    [
        ([], ""),
        (["Reset my password"], "Reset my password"),
        (["Printer is offline", "did that"], "Printer is offline did that"),
        (["a b", "no", "yes", "and on  Android?"], "a b yes and on Android?"),
        (["Printer is offline", LONG], LONG),
        (["Printer is offline", REFERRING], f"Printer is offline {REFERRING}"),
    ],
)
def test_what_is_looked_for(questions: list[str], text: str) -> None:
    assert search_text(questions) == text


def test_entries_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "handbook.jsonl"
    write_entries(path, ENTRIES)
    assert read_entries(path) == ENTRIES


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "x"}', '{"id": 1, "asks": 3}'])
def test_a_damaged_entry_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "handbook.jsonl"
    write_entries(path, ENTRIES[:1])
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"handbook\.jsonl:2"):
        read_entries(path)


def test_vectors_that_do_not_fit_the_entries_are_refused() -> None:
    with pytest.raises(ModelError, match="6 phrasings"):
        Handbook(ENTRIES, np.zeros((5, 8)), WordEncoder(), HandbookSettings(0.5, 0.1))
    with pytest.raises(ModelError):
        Handbook([], np.zeros((0, 8)), WordEncoder(), HandbookSettings(0.5, 0.1))


def test_a_pickle_is_not_read_as_vectors(tmp_path: Path) -> None:
    write_entries(tmp_path / "e", ENTRIES)
    (tmp_path / "v").write_text("[UNK]\n[CLS]\n[SEP]\n", encoding="utf-8")
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    files = {"entries": "e", "vocabulary": "v", "vectors": "p.npy", "graph": "g"}
    facts: dict[str, Any] = {"files": files, "threshold": 0, "margin": 0, "entries": 2}
    with pytest.raises(ModelError, match="damaged"):
        Handbook.load(tmp_path, facts | {"max_tokens": 8})
