"""``training finetune`` from the command line to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from training.finetuning.command import command
from training.run import Run

Write = Callable[[str, list[dict[str, Any]]], Path]


def _invoke(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_a_classifier_is_trained_by_one_command(write_rows: Write, tmp_path: Path) -> None:
    rows = [
        {
            "text": f"{source} {'claim the prize' if n % 2 else 'call me'} {n}",
            "label": ["ham", "spam"][n % 2],
            "source": source,
        }
        for source in ("a", "b")
        for n in range(200)
    ]
    data = write_rows("mail.jsonl", rows)
    out = tmp_path / "run"
    result = _invoke(
        *("classifier", "--preset", "tiny", "--leave-out", "b", "--output", str(out)),
        *("--set", f'data.files=["{data}"]', "--set", "vocabulary_size=280"),
        *("--set", "loop.steps=5", "--set", "device=cpu"),
    )
    assert result.exit_code == 0, result.output
    assert "left out roc_auc" in result.output
    report = json.loads((out / "report.json").read_text())
    assert report["left out"]["b"]["n"] == 200
    assert set(report["test"]) == {"all", "a"}
    markdown = (out / "report.md").read_text()
    assert "| this model |" in markdown
    assert "| tf-idf + logistic regression |" in markdown
    assert json.loads((out / "data.json").read_text()).keys() == {"mail.jsonl"}
    with pytest.raises(ValueError, match="go on with --resume"):
        _invoke("classifier", "--preset", "tiny", "--output", str(out))


def test_a_chat_model_is_trained_by_one_command(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    messages = [{"role": "user", "content": "how?"}, {"role": "assistant", "content": "call me"}]
    data = write_rows("chat.jsonl", [{"id": f"x{n}", "messages": messages} for n in range(40)])
    out = tmp_path / "run"
    result = _invoke(
        *("chat", "--preset", "tiny", "--output", str(out), "--set", f"foundation={foundation}"),
        *("--set", f'data.files=["{data}"]', "--set", "loop.steps=3", "--set", "device=cpu"),
        *("--set", "data.system_prompt=Be calm."),
    )
    assert result.exit_code == 0, result.output
    assert "validation_perplexity" in result.output
    assert Run(out, "chat").resumable


def test_a_misspelt_setting_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"drop_form.*did you mean 'augmentation.drop_from'"):
        _invoke("classifier", "--set", "augmentation.drop_form=0.1", "--output", str(tmp_path))
