"""The pipeline: every stage hands on what the next one needs, down to an answer."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

import pytest

from assistant.bundle import load_bundle
from training.__main__ import main
from training.datasets import WRITTEN
from training.datasets.jsonl import read_rows
from training.datasets.splits import split_of
from training.pipeline.table import Row, print_table

# A few steps of small models: this is about the way, not about what is learned.
QUICK = [
    "pretrain.model.width=64",
    "pretrain.model.heads=1",
    "pretrain.model.layers=2",
    "pretrain.loop.steps=4",
    "pretrain.loop.eval_every=0",
    "pretrain.loop.log_every=1",
    "pretrain.eval_tokens=2000",
    "chat.loop.steps=3",
    "chat.loop.eval_every=2",
    "chat.eval_dialogues=4",
    "chat.data.max_per_source=50",
    "classifier.loop.steps=3",
    "classifier.loop.eval_every=0",
    "classifier.loop.log_every=1",
    "answer_tokens=8",
    "evaluated_answers=2",
]


def pipeline(monkeypatch: pytest.MonkeyPatch, output: Path, *settings: str) -> int:
    overrides = [word for setting in settings for word in ("--set", setting)]
    arguments = ["training", "pipeline", "--preset", "tiny", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", arguments + overrides)
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


@pytest.mark.slow
def test_every_stage_runs_and_the_exported_models_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p"
    assert pipeline(monkeypatch, output, *QUICK) == 0
    printed = capsys.readouterr()
    report = json.loads((output / "pipeline.json").read_text())
    stages = [row["stage"] for row in report["rows"] if row["stage"]]
    assert report["finished"] is True
    assert stages == [
        "text",
        "tokenizer",
        "prepare",
        "pretrain",
        "finetune chat",
        "finetune classifier",
        "evaluate",
        "export",
        "answer",
    ]
    assert all(stage in printed.out for stage in stages)
    assert "bits_per_byte" not in printed.out  # stages' own closing lines are in the log
    assert "bits_per_byte" in (output / "stages.log").read_text()
    assert load_bundle(output / "models" / "tiny-chat").task == "chat"
    assert load_bundle(output / "models" / "tiny-spam").task == "classification"
    assert (output / "evaluation" / "chat" / "report.md").exists()
    page = (output / "report.html").read_text()
    assert all(f"<h2>{stage.capitalize()}</h2>" in page for stage in stages)
    assert all(row["what"] in html.unescape(page) for row in report["rows"])
    assert page.count("data:image/png;base64,") == 3  # the curves of what is trained
    for link in re.findall('href="([^"]+)"', page):
        assert (output / link).is_file()
    pretraining = (output / "pretrain" / "report.html").read_text()
    assert "data:image/png;base64," in (output / "classifier" / "report.html").read_text()
    assert "model.width" in pretraining

    learned = "".join(json.loads(line)["text"] for line in (output / "text.jsonl").open())
    for place, row in read_rows(WRITTEN / "mail.jsonl"):
        inside = row["body"].strip() in learned
        assert inside == (split_of(row["id"]) == "train") or len(row["body"]) < 60, place

    # A second run takes the place of the first, also of one that was broken off.
    (output / "pretrain" / "stale").write_text("x")
    assert pipeline(monkeypatch, output, *QUICK, "tokenizer.vocabulary_size=100") == 1
    assert "at least 259" in capsys.readouterr().err
    assert not (output / "pretrain").exists()
    assert json.loads((output / "pipeline.json").read_text()) == {"finished": False}


def test_a_folder_that_holds_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert pipeline(monkeypatch, tmp_path) == 1
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_text_from_models_is_never_markup_in_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table([Row("answer", "question", "[red]no[/] [link=file:///x]y[/link]", 1.5)])
    printed = capsys.readouterr().out
    assert "[red]no[/] [link=file:///x]y[/link]" in printed
    assert "\x1b" not in printed
    assert "1.5" in printed
