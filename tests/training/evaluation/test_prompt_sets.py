"""The prompts that only judge a model: whole, and never among what it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import training.evaluation
from training.datasets import DIALOGUE_FILES, WRITTEN
from training.datasets.jsonl import read_rows

HERE = Path(training.evaluation.__file__).parent


def _rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def test_chat_prompts_end_with_the_user_and_have_unique_ids() -> None:
    rows = _rows(HERE / "chat_prompts.jsonl")
    assert [row["id"] for row in rows] == [f"ev-{n:04d}" for n in range(1, len(rows) + 1)]
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        turns = len(roles) // 2
        assert roles == ["user", "assistant"] * turns + ["user"], row["id"]


def test_no_evaluation_prompt_is_trained_on() -> None:
    trained: set[str] = set()
    for stem in DIALOGUE_FILES:
        for row in _rows(WRITTEN / f"{stem}.jsonl"):
            trained.add(_plain(row["messages"][0]["content"]))
            trained.update(_plain(ask) for ask in row.get("asks", ()))
    for name in ("chat_prompts", "grounded"):
        for row in _rows(HERE / f"{name}.jsonl"):
            first = _plain(row["messages"][0]["content"])
            assert not first or first not in trained, row["id"]


def test_grounded_facts_stand_in_the_cited_notes() -> None:
    for row in _rows(HERE / "grounded.jsonl"):
        assert [message["role"] for message in row["messages"]] == ["user"], row["id"]
        if row.get("unanswerable"):
            assert "facts" not in row
            assert "cites" not in row
            continue
        cited = [row["context"][n - 1]["text"] for n in row["cites"]]
        for fact in row["facts"]:
            assert any(fact in text for text in cited), (row["id"], fact)
