"""Measured figures go into the card, and the bundle stays whole."""

import json

import pytest

from assistant.bundle import damaged_files
from tests.support.tiny import tiny_chat
from training.exporting.card import add_evaluation
from training.exporting.export import export_bundle

EXAMPLES = [
    {"id": f"ev-{n}", "question": f"question {n}?", "answer": f"1. Step {n}.\n\x1b[31m2. Done."}
    for n in range(6)
]


@pytest.fixture
def bundle(tmp_path):
    export_bundle(tiny_chat(), tmp_path / "b", "b", quantization="float32")
    return tmp_path / "b"


def report(tmp_path, **figures):
    path = tmp_path / "report.json"
    data = {"figures": {"all": figures}, "examples": EXAMPLES, "data": {"prompts.jsonl": "ab"}}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_figures_and_samples_stand_in_the_card_and_the_hash_fits(bundle, tmp_path):
    changed = add_evaluation(bundle, [report(tmp_path, ends_by_itself=0.995, answers=200)], 3)
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "| ends by itself | 0.995 |" in card
    assert "| answers | 200 |" in card
    assert card.count("**question") == 3
    assert "> 1. Step 0." in card
    assert "\x1b" not in card
    assert damaged_files(changed) == []


def test_a_later_measurement_replaces_the_earlier(bundle, tmp_path):
    before = (bundle / "README.md").read_text(encoding="utf-8")
    add_evaluation(bundle, [report(tmp_path, loop_free=0.5)], 2)
    add_evaluation(bundle, [report(tmp_path, loop_free=0.9)], 2)
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert card.startswith(before.rstrip("\n"))
    assert "0.9" in card
    assert "| loop free | 0.5 |" not in card
    assert card.count("## Evaluation") == card.count("## Sample answers") == 1


def test_what_is_no_report_is_refused_and_changes_nothing(bundle, tmp_path):
    before = (bundle / "README.md").read_bytes()
    (tmp_path / "x.json").write_text('{"figures": 3}')
    with pytest.raises(ValueError, match="no report"):
        add_evaluation(bundle, [tmp_path / "x.json"], 2)
    assert (bundle / "README.md").read_bytes() == before
