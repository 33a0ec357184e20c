"""Evaluating a checkpoint: the report of either task."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from assistant.conversation import (
    Message,
    Note,
    grounded_question,
    handbook_question,
    passages_question,
)
from assistant.plugin_api import Score
from assistant.testing import ScriptedChatModel
from assistant.tokenizer import Tokenizer
from tests.support.handbook import ENTRIES, ReadingModel, tiny_handbook
from training.checkpoint import Checkpoint, save_checkpoint
from training.evaluation.chat import (
    Answer,
    checkpoint_answerer,
    generation_figures,
    model_answerer,
    perplexity,
    reading_answerer,
)
from training.evaluation.classification import dilution_figures, evaluate_classifier
from training.evaluation.command import command
from training.evaluation.report import table, to_markdown, write_report
from training.finetuning.augmentation import diluted
from training.finetuning.conversations import Dialogue
from training.finetuning.labelled_text import LabelledText
from training.model import SequenceClassifier, Transformer

Write = Callable[[str, list[dict[str, Any]]], Path]


class _LengthClassifier:
    """Calls long texts spam."""

    name, threshold, unsure = "length", 0.5, (0.3, 0.5)

    def score(self, texts: Any) -> list[Score]:
        return [Score(min(len(t) / 10, 1.0), (0.0,), 1) for t in texts]


def test_classifier_figures_are_those_of_its_scores_and_name_the_worst() -> None:
    texts = [
        LabelledText("long long long", 1, "a", "a:1"),
        LabelledText("hi", 0, "a", "a:2"),
        LabelledText("a long good text", 0, "b", "b:1"),
        LabelledText("abcd", 1, "b", "b:2"),
    ]
    report = evaluate_classifier(_LengthClassifier(), texts)
    assert report["figures"]["all"]["accuracy"] == 0.5
    assert report["figures"]["all"]["roc_auc"] == pytest.approx(0.625)
    assert report["figures"]["a"]["accuracy"] == 1
    assert report["figures"]["all"]["unsure_rate"] == 0.25
    assert set(report["worst"]) == {"b:1", "b:2"}
    with pytest.raises(ValueError, match="No labelled text"):
        evaluate_classifier(_LengthClassifier(), [])


def test_padding_stands_in_front_of_or_behind_the_body_below_the_headers() -> None:
    mail = "From: a\n\nbuy now"
    assert diluted(mail, "dear Ann", in_front=True) == "From: a\n\ndear Ann\nbuy now"
    assert diluted(mail, "dear Ann", in_front=False) == "From: a\n\nbuy now\ndear Ann"


def test_dilution_is_measured_on_the_positive_texts() -> None:
    texts = [
        LabelledText("From: a\n\nhi", 1, "a", "1"),
        LabelledText("From: b\n\ngood words", 0, "a", "2"),
    ]
    figures = dilution_figures(_LengthClassifier(), texts, [5])
    assert set(figures) == {"unpadded", "5 characters behind", "5 characters in front"}
    assert all(row["n"] == 1 for row in figures.values())
    assert figures["5 characters behind"]["recall"] == 1


def _dialogue(n: int, answer: str) -> Dialogue:
    return Dialogue(f"k{n}", "s", (Message("user", f"q{n}"), Message("assistant", answer)))


def test_generated_answers_are_measured_against_the_references() -> None:
    answers = {"q1": "open the settings", "q2": "something else"}

    def answerer(messages: Any) -> Any:
        if messages[-1].content == "q3":
            return None
        return Answer(answers[messages[-1].content], messages[-1].content == "q1")

    dialogues = [_dialogue(n, "open the settings") for n in (1, 2, 3)]
    figures = generation_figures(answerer, dialogues, "be calm", 10)
    assert figures["answers"] == 2
    assert figures["too_long"] == 1
    assert figures["end_rate"] == 0.5
    assert figures["rouge_l"] == 0.5
    assert "citation_rate" not in figures


def test_a_runtime_model_answers_too() -> None:
    model = ScriptedChatModel(["Open the settings."])
    answer = model_answerer(model, 20)([Message("user", "how?")])
    assert answer is not None
    assert answer.text == "Open the settings."
    assert answer.ended


def test_a_model_is_asked_as_the_app_asks_it_with_its_handbook() -> None:
    model = ReadingModel(["Wait a day."], handbook=tiny_handbook(shown=1), context_length=60)
    answer = model_answerer(model, 16)
    asked = handbook_question("I was charged twice", [ENTRIES[3]])
    system = Message("system", "Be calm.")
    assert answer([system, Message("user", "I was charged twice")]) is not None
    assert model.prompts == [[system, Message("user", asked)]]
    assert answer([Message("user", "word " * 60)]) is None


def test_entries_can_be_put_before_the_questions_of_any_answerer() -> None:
    asked: list[str] = []

    def answerer(messages: Any) -> Answer | None:
        asked.append(messages[-1].content)
        return None if "Handbook" in asked[-1] and "too long" in asked[-1] else Answer("a", True)

    reading = reading_answerer(answerer, tiny_handbook(shown=1))
    fees = Note("Fees", "I was charged 2 euros once.")
    notes = grounded_question("I was charged twice", [Note("Opening hours", "Monday"), fees])
    for question in ("I was charged twice", notes, "zebra", "I was charged twice too long"):
        assert reading([Message("user", question)]) is not None
    assert asked == [
        handbook_question("I was charged twice", [ENTRIES[3]]),
        passages_question("I was charged twice", [(2, fees)], []),
        "zebra",
        handbook_question("I was charged twice too long", [ENTRIES[3]]),
        "I was charged twice too long",
    ]


def test_a_checkpoint_answers_within_its_context(
    transformer: Transformer, tokenizer: Tokenizer
) -> None:
    checkpoint = Checkpoint("chat", transformer, tokenizer)
    answerer = checkpoint_answerer(checkpoint, 5)
    answer = answerer([Message("user", "call me")])
    assert answer is not None
    assert len(tokenizer.encode(answer.text)) <= 5 or not answer.ended
    assert answerer([Message("user", "call me later " * 100)]) is None


def test_perplexity_of_uniform_logits_is_the_vocabulary(
    transformer: Transformer, tokenizer: Tokenizer
) -> None:
    transformer.embed_tokens.weight.data.zero_()
    figures = perplexity(Checkpoint("chat", transformer, tokenizer), [_dialogue(1, "open")], "")
    assert figures["answer_perplexity"] == pytest.approx(tokenizer.vocabulary_size, rel=1e-4)
    assert figures["answer_tokens"] == len(tokenizer.encode("open")) + 1


def test_the_command_reports_on_a_classification_checkpoint(
    classifier: SequenceClassifier, tokenizer: Tokenizer, write_rows: Write, tmp_path: Path
) -> None:
    extra = {
        "positive": "spam",
        "threshold": 0.6,
        "unsure": [0.4, 0.6],
        "calibration": {"temperature": 2.0, "bias": 0.1},
        "windows": {"tokens": 32, "stride": 24, "pool": "max"},
    }
    place = tmp_path / "checkpoint"
    checkpoint = Checkpoint(
        "classification", classifier.transformer, tokenizer, classifier, ["ham", "spam"], extra
    )
    save_checkpoint(place, checkpoint)
    rows = [{"text": f"call me {n}", "label": ["ham", "spam"][n % 2]} for n in range(20)]
    data = write_rows("mail.jsonl", rows)
    out = tmp_path / "report"
    arguments = [str(place), str(data), "--split", "all", "--output", str(out)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "n: 20" in result.output
    report = json.loads((out / "report.json").read_text())
    assert report["figures"]["mail"]["positive"] == 10
    assert 0 <= report["figures"]["all"]["roc_auc"] <= 1
    markdown = (out / "report.md").read_text()
    assert "## Figures" in markdown
    assert "| mail |" in markdown
    assert f"- mail.jsonl: {report['data']['mail.jsonl']}" in markdown


def test_the_command_reports_on_a_chat_checkpoint(
    transformer: Transformer, tokenizer: Tokenizer, write_rows: Write, tmp_path: Path
) -> None:
    place = tmp_path / "checkpoint"
    save_checkpoint(
        place, Checkpoint("chat", transformer, tokenizer, extra={"system_prompt": "Be calm."})
    )
    messages = [{"role": "user", "content": "how?"}, {"role": "assistant", "content": "call me"}]
    data = write_rows("chat.jsonl", [{"messages": messages}])
    out = tmp_path / "report"
    arguments = [str(place), str(data), "--split", "all", "--max-tokens", "4"]
    result = CliRunner().invoke(command, [*arguments, "--output", str(out)])
    assert result.exit_code == 0, result.output
    figures = json.loads((out / "report.json").read_text())["figures"]["all"]
    assert figures["answer_perplexity"] > 1
    assert figures["answers"] == 1


def test_a_table_shows_numbers_and_leaves_gaps() -> None:
    text = table({"a": {"n": 3.0, "auc": 0.98765}, "b|c": {"n": 1.0}}, "of")
    assert text.splitlines() == [
        "| of | n | auc |",
        "|---|---|---|",
        "| a | 3 | 0.9877 |",
        "| b\\|c | 1 |  |",
    ]


def test_answers_in_a_report_cannot_break_out_of_it() -> None:
    hostile = "fine\x1b[2J\n# Heading"
    text = to_markdown({"title": "T", "examples": [{"question": "q", "answer": hostile}]})
    assert "\x1b" not in text
    assert "\n# Heading" not in text


def test_a_run_has_one_page_that_loads_nothing_and_shows_everything(tmp_path: Path) -> None:
    rows = [{"step": n, "loss": 5.0 - n} for n in range(1, 4)]
    rows.append({"step": 3, "samples": {"The ": "<script>alert(1)</script>\x1b[2J end"}})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"stage": "pretrain", "config": {"loop": {"steps": 3}}, "argv": ["training", "x"]}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    report = {
        "title": "A <run>",
        "bits_per_byte": 1.25,
        "figures": {"all": {"n": 3, "auc": 0.5}},
        "reliability": {"0-0.1": {"n": 9, "mean_probability": 0.05, "frequency": 0.2}},
    }
    write_report(tmp_path, report)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "A &lt;run&gt;" in page
    for shown in ("1.25", "loop.steps", "training x", "mean probability", "step 3: The"):
        assert shown in page, shown
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    markdown = (tmp_path / "report.md").read_text()
    for name in ("loss.png", "reliability.png"):
        assert f"]({name})" in markdown
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
