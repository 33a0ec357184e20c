"""Every stage, end to end, on the sample data in the repository: the tutorial and its proof.

text -> tokenizer -> shards -> foundation model -> chat model and mail classifier -> figures on
data held out from all of them -> bundles -> the first answer by the runtime.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, TypeVar

import torch

from assistant.bundle import Bundle
from assistant.chat import Chunk, GenerationOptions
from assistant.conversation import Message
from assistant.engine.chat_model import OnnxChatModel
from assistant.engine.classifier import OnnxClassifier
from assistant.text import sanitize_line
from training.checkpoint import Checkpoint
from training.data.prepare import prepare
from training.data.rows import document_text
from training.data.shards import TokenData
from training.datasets import WRITTEN
from training.datasets.jsonl import find_files, read_rows
from training.datasets.splits import split_of
from training.evaluation.command import evaluate
from training.evaluation.report import write_report
from training.exporting.export import export_bundle
from training.finetuning.chat import ChatConfig, finetune_chat
from training.finetuning.classifier import finetune_classifier
from training.finetuning.classifier_config import ClassifierConfig
from training.finetuning.classifier_report import readable
from training.finetuning.labelled_text import load_texts
from training.finetuning.retention import BEFORE, METRIC
from training.model import parameter_count
from training.pipeline.config import PipelineConfig
from training.pipeline.table import Row, write_pipeline_report
from training.pretraining.task import PretrainTask
from training.pretraining.train import pretrain
from training.run import Run
from training.tokenizer.command import learn_tokenizer

REPORT = "pipeline.json"
Result = TypeVar("Result")


@dataclass
class Pipeline:
    """One run of all stages in ``output``; ``run`` returns the rows of the closing table."""

    config: PipelineConfig
    output: Path
    rows: list[Row] = field(default_factory=list)

    STAGES: ClassVar[tuple[str, ...]] = (
        "text",
        "tokenizer",
        "prepare",
        "pretrain",
        "finetune chat",
        "finetune classifier",
        "evaluate",
        "export",
        "answer",
    )

    def run(self) -> list[Row]:
        """Run every stage.

        Raises:
            ValueError: the output folder holds something else, or a stage fails.
        """
        self._clear()
        config, models = self.config, self.output / "models"
        text = self._stage("text", self._text)
        self._stage("tokenizer", lambda: self._tokenizer(text))
        self._stage("prepare", lambda: self._prepare(text))
        foundation = self._stage("pretrain", self._pretrain)
        chat = self._stage("finetune chat", self._chat)
        classifier, report = self._stage("finetune classifier", self._classifier)
        self._stage("evaluate", lambda: self._evaluate(foundation, chat, report))
        bundles = self._stage("export", lambda: self._export(chat, classifier, models))
        self._stage("answer", lambda: self._answer(*bundles))
        rows = [asdict(row) for row in self.rows]
        settings = {"question": config.question, "rows": rows, "finished": True}
        self._write(settings)
        write_pipeline_report(self.output, self.rows)
        return self.rows

    def _clear(self) -> None:
        """Make place for this run where an earlier one of this command was."""
        if self.output.exists() and any(self.output.iterdir()):
            if not (self.output / REPORT).exists():
                raise ValueError(
                    f"{self.output} holds something else: choose another folder with --output"
                )
            shutil.rmtree(self.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self._write({"finished": False})

    def _write(self, report: dict[str, Any]) -> None:
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        (self.output / REPORT).write_text(text, encoding="utf-8")

    def _stage(self, name: str, work: Callable[[], Result]) -> Result:
        number = self.STAGES.index(name) + 1
        print(f"[{number}/{len(self.STAGES)}] {name}", file=sys.stderr, flush=True)
        first, started = len(self.rows), time.monotonic()
        with _closing_lines_to(self.output / "stages.log"):
            result = work()
        seconds = round(time.monotonic() - started, 1)
        if len(self.rows) > first:  # the time stands in the stage's first row
            self.rows[first] = replace(self.rows[first], seconds=seconds)
        return result

    def _row(self, stage: str, what: str, figure: str) -> None:
        self.rows.append(Row(stage, what, figure, 0.0))

    def _folder(self, name: str) -> Path:
        return self.output / name

    def _text(self) -> Path:
        """Write the text of the training items alone: what is tested on is never read."""
        path, items, size = self.output / "text.jsonl", 0, 0
        with path.open("w", encoding="utf-8") as stream:
            for source in find_files([WRITTEN]):
                for place, row in read_rows(source):
                    if split_of(str(row.get("id", place))) != "train":
                        continue
                    text = document_text(row)
                    stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                    items, size = items + 1, size + len(text.encode())
        self._row("text", "dialogues and mails to learn from", f"{items:,}")
        self._row("", "text", f"{size / 1e6:.2f} MB")
        return path

    def _tokenizer(self, text: Path) -> None:
        config = self.config.tokenizer
        run = Run.create(self._folder("tokenizer"), "tokenizer", config)
        tokenizer = learn_tokenizer([text], config, run)
        self._row("tokenizer", "vocabulary", f"{tokenizer.vocabulary_size:,} ids")

    def _prepare(self, text: Path) -> None:
        from training.tokenizer.train import load_tokenizer

        config = self.config.prepare
        run = Run.create(self._folder("data"), "prepare", config)
        manifest = prepare([text], load_tokenizer(self._folder("tokenizer")), config, run)
        tokens = {split: data["tokens"] for split, data in manifest["splits"].items()}
        self._row("prepare", "training tokens", f"{tokens['train']:,}")
        self._row("", "held-out tokens", f"{tokens['validation']:,}")
        rate = manifest["text_bytes"] / sum(tokens.values())
        self._row("", "bytes a token", f"{rate:.2f}")

    def _pretrain(self) -> Checkpoint:
        config = replace(self.config.pretrain, data=self._folder("data"))
        run = Run.create(self._folder("pretrain"), "pretrain", config)
        checkpoint = pretrain(config, run)
        summary = _summary(run)
        count = parameter_count(checkpoint.transformer)
        first = next(row["loss"] for row in run.metrics() if "loss" in row)
        self._row("pretrain", "parameters", f"{count / 1e6:.2f} M")
        self._row("", "tokens/s", f"{summary['tokens_per_second']:,.0f}")
        self._row("", "loss", f"{first:.2f} to {summary['training_loss']:.2f}")
        self._row("", "held-out bits per byte", f"{summary['bits_per_byte']:.3f}")
        sample = summary.get("sample 3") or summary.get("sample 1", "")
        self._row("", "sample", sanitize_line(str(sample), 72))
        return checkpoint

    def _chat(self) -> Checkpoint:
        foundation = str(self._folder("pretrain") / "checkpoint")
        config = replace(self.config.chat, foundation=foundation)
        run = Run.create(self._folder("chat"), ChatConfig.stage, config)
        checkpoint = finetune_chat(config, run)
        run.summary(checkpoint.extra["metrics"])
        evaluations = [row["evaluation"] for row in run.metrics() if "evaluation" in row]
        losses = [evaluation["validation_loss"] for evaluation in evaluations]
        self._row("finetune chat", "held-out answers: loss", f"{losses[0]:.2f} to {losses[-1]:.2f}")
        metrics = checkpoint.extra["metrics"]
        if BEFORE in metrics:
            kept = f"{metrics[BEFORE]:.3f} to {metrics[METRIC]:.3f}"
            self._row("", "general text: bits per byte", kept)
        return checkpoint

    def _classifier(self) -> tuple[Checkpoint, dict[str, Any]]:
        foundation = str(self._folder("pretrain") / "checkpoint")
        config = replace(self.config.classifier, foundation=foundation)
        run = Run.create(self._folder("classifier"), ClassifierConfig.stage, config)
        checkpoint, report = finetune_classifier(config, run)
        write_report(run.directory, report, readable(report))
        loss = report["training"]["validation_loss"]
        self._row("finetune classifier", "held-out mail: loss", f"{loss:.2f}")
        return checkpoint, report

    def _evaluate(self, foundation: Checkpoint, chat: Checkpoint, report: dict[str, Any]) -> None:
        """Measure everything on what no stage has learned from."""
        stage = "evaluate"
        length = self.config.pretrain.context_length
        for name, checkpoint in (("foundation", foundation), ("chat", chat)):
            held_out = TokenData(self._folder("data"), "validation", length)
            task = PretrainTask(checkpoint.decoder, checkpoint.tokenizer, held_out, 16)
            with torch.no_grad():
                bits = task.evaluate()["bits_per_byte"]
            self._row(stage, f"{name}: bits per byte", f"{bits:.3f}")
            stage = ""
        measured = evaluate(
            self._folder("chat"),
            self.config.chat.data.files,
            sample=self.config.evaluated_answers,
            max_tokens=self.config.answer_tokens,
        )
        write_report(self._folder("evaluation") / "chat", measured)
        figures = measured["figures"]["all"]
        for key in ("answer_perplexity", "rouge_l", "end_rate"):
            self._row("", f"chat: {key.replace('_', ' ')}", f"{figures[key]:.3g}")
        measured = evaluate(self._folder("classifier"), self.config.classifier.data.files)
        write_report(self._folder("evaluation") / "classifier", measured)
        compared = {"classifier": measured["figures"]["all"]}
        compared |= {name: b["test"]["all"] for name, b in report.get("baselines", {}).items()}
        for name, figures in compared.items():
            figure = f"{figures['accuracy']:.3f}, {figures['roc_auc']:.3f}"
            self._row("", f"{name}: accuracy, ROC AUC", figure)

    def _export(
        self, chat: Checkpoint, classifier: Checkpoint, models: Path
    ) -> tuple[Bundle, Bundle]:
        found = []
        stage = "export"
        for name, checkpoint in (("tiny-chat", chat), ("tiny-spam", classifier)):
            description = "Made by training pipeline on sample data; shows the way, knows little"
            bundle = export_bundle(
                checkpoint, models / name, name, description, self.config.quantization
            )
            self._row(stage, f"{name} ({bundle.task})", f"{bundle.size_bytes / 1e6:.2f} MB")
            found.append(bundle)
            stage = ""
        return found[0], found[1]

    def _answer(self, chat: Bundle, spam: Bundle) -> None:
        """Ask the exported models through the runtime, as the assistant does."""
        model = OnnxChatModel(chat)
        messages = [Message("system", model.system_prompt), Message("user", self.config.question)]
        options = GenerationOptions(max_tokens=self.config.answer_tokens)
        pieces, speed = [], 0.0
        for piece in model.stream(messages, options, Event()):
            if isinstance(piece, Chunk):
                pieces.append(piece.text)
            else:
                speed = piece.tokens_per_second
        self._row("answer", f"question: {self.config.question}", "".join(pieces).strip())
        self._row("", "tokens/s", f"{speed:,.0f}")
        tested = [t for t in load_texts(self.config.classifier.data) if t.split == "test"]
        for label, name in enumerate(self.config.classifier.data.labels):
            mail = next((text for text in tested if text.label == label), None)
            if mail is not None:
                probability = OnnxClassifier(spam).score([mail.text])[0].probability
                subject = next(
                    (x for x in mail.text.splitlines() if x.startswith("Subject:")), "a mail"
                )
                what = sanitize_line(f"spam? {name}, {subject}", 60)
                self._row("", what, f"{probability:.3f}")


def _summary(run: Run) -> dict[str, Any]:
    return dict(json.loads((run.directory / "summary.json").read_text(encoding="utf-8")))


@contextlib.contextmanager
def _closing_lines_to(path: Path) -> Iterator[None]:
    """Stages print their closing figures to stdout; here stdout is the table's alone."""
    with path.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        yield
