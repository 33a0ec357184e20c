"""Classification fine-tuning: a decoder learns to read a text and name its label."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint
from training.data.broken import Broken
from training.datasets.jsonl import files_sha256
from training.datasets.splits import unit_interval
from training.device import choose_device
from training.encoder import Encoder
from training.evaluation.metrics import roc_auc
from training.finetuning.augmentation import head_and_tail, windows_of
from training.finetuning.classifier_config import ClassifierConfig
from training.finetuning.classifier_report import Split, calibrate_and_report
from training.finetuning.labelled_text import LabelledText, SplitTexts, load_texts
from training.finetuning.length_buckets import LengthBuckets, TextBatch
from training.finetuning.lora import merged
from training.finetuning.scoring import window_margins
from training.loop import train
from training.model import SequenceClassifier, Transformer, parameter_count
from training.precision import precision
from training.run import Run, commit
from training.tokenizer.train import load_tokenizer, train_tokenizer
from training.world import primary

TOKENIZER_CHARACTERS = 20_000_000
"""Characters of training text that a tokenizer of our own learns from."""


class ClassifierTask:
    """The loss, the quick validation and the checkpoint of classification."""

    def __init__(
        self,
        classifier: SequenceClassifier,
        tokenizer: Tokenizer,
        validation: list[LabelledText],
        config: ClassifierConfig,
        provenance: dict[str, Any],
    ) -> None:
        self.classifier, self.tokenizer, self.config = classifier, tokenizer, config
        self.provenance = provenance
        self.device = classifier.score.weight.device
        chosen = sorted(validation, key=lambda text: unit_interval(f"eval:{text.key}"))
        chosen = chosen[: config.eval_texts or None]
        self._rows = [head_and_tail(text.text, tokenizer, config.max_tokens) for text in chosen]
        self._positive = np.array([text.label == 1 for text in chosen])

    def loss(self, batch: TextBatch) -> tuple[Tensor, int]:
        """Return the summed cross-entropy and the number of texts.

        A text is as positive as its windows together are: multiple-instance learning
        (https://arxiv.org/abs/1802.04712). No window of a negative text may look positive, and
        one of a positive text is enough.
        """
        lengths_BW = batch.lengths_BW.to(self.device)
        there_BW = lengths_BW > 0
        with precision(self.device, self.config.precision):
            logits = self.classifier(
                batch.ids_BWT.to(self.device)[there_BW], lengths_BW[there_BW]
            ).float()
        margins_BW = torch.full(there_BW.shape, -torch.inf, device=self.device)
        margins_BW[there_BW] = logits[:, -1] - logits[:, 0]
        margins_B = soft_maximum(margins_BW)
        loss = F.cross_entropy(
            torch.stack([torch.zeros_like(margins_B), margins_B], dim=-1),
            batch.labels_B.to(self.device),
            reduction="sum",
            label_smoothing=self.config.label_smoothing,
        )
        return loss, len(batch.labels_B)

    def tokens(self, batch: TextBatch) -> int:
        """Return the tokens read, padding not counted."""
        return int(batch.lengths_BW.sum())

    def evaluate(self) -> dict[str, float]:
        """Return loss, accuracy and ROC AUC on validation texts cut to head and tail."""
        margin = window_margins(self.classifier, self._rows)
        loss = np.logaddexp(0, np.where(self._positive, -margin, margin))
        return {
            "validation_loss": float(loss.mean()),
            "validation_accuracy": float(np.mean((margin > 0) == self._positive)),
            "validation_roc_auc": roc_auc(self._positive, margin),
        }

    def samples(self) -> dict[str, str]:
        """Return none: a classifier writes nothing."""
        return {}

    def checkpoint(self) -> Checkpoint:
        """Return the classifier, not yet calibrated."""
        return Checkpoint(
            task="classification",
            transformer=self.classifier.transformer,
            tokenizer=self.tokenizer,
            classifier=self.classifier,
            labels=list(self.config.data.labels),
            provenance=self.provenance,
        )


def finetune_classifier(
    config: ClassifierConfig, run: Run, resume: bool = False
) -> tuple[Checkpoint, dict[str, Any]]:
    """Train, calibrate and measure a classifier; leaves it in ``run.checkpoint``.

    Returns:
        the checkpoint, with threshold and calibration in ``extra``, and the report (see
        ``calibrate_and_report``).

    Raises:
        ValueError: unusable settings or data, or a loss that is not finite.
        Paused: see ``training.loop.train``.
    """
    if len(config.data.labels) != 2:
        raise ValueError(f"data.labels {list(config.data.labels)}: exactly two are supported")
    device = choose_device(config.device)
    broken = Broken(config.data.max_broken, not primary(), "data.max_broken")
    texts = load_texts(config.data, broken)
    if primary():
        broken.write(run.directory)
    splits = SplitTexts.of(texts, config.data.leave_out)
    hashes = files_sha256(config.data.paths)
    run.data(hashes)
    classifier, tokenizer, foundation = _start(config, splits.train, run)
    classifier.to(device)
    freeze_below(classifier, config.train_layers)
    if config.freeze_words and isinstance(classifier.transformer, Encoder):
        classifier.transformer.embeddings.word_embeddings.requires_grad_(False)
    provenance = {
        "stage": "finetune classifier",
        "foundation": foundation,
        "data": hashes,
        "normalizer": config.data.normalizer,
        "pooling": classifier.pooling,
        "commit": commit(),
        "seed": config.seed,
        "sources": _counts(splits.train),
    }
    task = ClassifierTask(classifier, tokenizer, splits.validation, config, provenance)
    source = LengthBuckets(
        splits.train,
        tokenizer,
        config.max_tokens,
        config.batch_size,
        config.augmentation,
        {s: w for s, w in config.weights.items() if s != config.data.leave_out},
        config.seed,
        config.windows,
    )
    metrics = train(classifier, task, source, config.loop, run, resume)
    checkpoint = load_checkpoint(run.checkpoint, device)
    windows = asdict(windows_of(config.max_tokens)) | {"pool": "max"}
    checkpoint.extra = {"positive": config.data.labels[-1], "windows": windows}
    sets: dict[Split, list[LabelledText]] = {
        "validation": splits.validation,
        "test": splits.test,
        "left out": splits.left_out,
    }
    report = calibrate_and_report(checkpoint, splits.train, sets, config)
    report["training"] = metrics | {
        "parameters": float(parameter_count(classifier)),
        "broken_rows": float(broken.count),
    }
    checkpoint.extra["metrics"] = report["test"]["all"] if report.get("test") else {}
    tensors, state = load_state(run.checkpoint)
    save_checkpoint(run.checkpoint, checkpoint, tensors, state)
    return checkpoint, report


def soft_maximum(margins_BW: Tensor) -> Tensor:
    """Return the mean of each row weighted by its softmax, [B]; entries of -inf don't count."""
    weights_BW = margins_BW.softmax(dim=-1)
    return (weights_BW * margins_BW.masked_fill(margins_BW == -torch.inf, 0)).sum(dim=-1)


def freeze_below(classifier: SequenceClassifier, train_layers: int) -> None:
    """Leave only the last blocks, what follows them and the head trainable.

    Raises:
        ValueError: the model has fewer blocks.
    """
    if train_layers < 0:
        return
    transformer = classifier.transformer
    blocks = next(m for m in transformer.modules() if isinstance(m, torch.nn.ModuleList))
    if train_layers > len(blocks):
        raise ValueError(f"train_layers {train_layers}: the model has {len(blocks)} blocks")
    transformer.requires_grad_(False)
    if isinstance(transformer, Transformer):
        transformer.norm.requires_grad_(True)
    for block in blocks[len(blocks) - train_layers :]:
        block.requires_grad_(True)


def _start(
    config: ClassifierConfig, train_texts: list[LabelledText], run: Run
) -> tuple[SequenceClassifier, Tokenizer, str]:
    """Return the classifier before training, its tokenizer and what it comes from."""
    transformer: Transformer | Encoder
    if config.foundation:
        checkpoint = load_checkpoint(Path(config.foundation))
        found, tokenizer = checkpoint.transformer, checkpoint.tokenizer
        transformer = found if isinstance(found, Encoder) else merged(found)
        if config.max_tokens > transformer.context_length:
            raise ValueError(
                f"max_tokens {config.max_tokens}: the foundation reads at most "
                f"{transformer.context_length}"
            )
        named = checkpoint.provenance.get("foundation", Path(config.foundation).name)
        foundation = f"{checkpoint.task} checkpoint of {named}"
        before = checkpoint.classifier
        alike = isinstance(found, Encoder) or (before and before.pooling == config.pooling)
        if before is not None and alike and checkpoint.labels == list(config.data.labels):
            before.ngrams = None  # fitted anew
            return before, tokenizer, foundation  # goes on, head included
    else:
        tokenizer = _tokenizer(config, train_texts, run)
        architecture = config.model.architecture(tokenizer.vocabulary_size)
        fresh = Transformer(architecture, config.max_tokens)
        fresh.initialize(config.seed)
        transformer = fresh
        foundation = "fresh weights"
    classifier = SequenceClassifier(transformer, len(config.data.labels), config.pooling)
    # not the seed of the embedding, whose first rows would be the head's then
    generator = torch.Generator().manual_seed(config.seed + 2**32)
    with torch.no_grad():  # small, so that the first probabilities are near one half
        shape = classifier.score.weight.shape
        classifier.score.weight.copy_(0.02 * torch.randn(shape, generator=generator))
        classifier.score.bias.zero_()
    return classifier, tokenizer, foundation


def _tokenizer(config: ClassifierConfig, texts: list[LabelledText], run: Run) -> Tokenizer:
    if config.tokenizer:
        return load_tokenizer(Path(config.tokenizer))
    if run.resumable:  # the same one as at the start, without training it again
        return load_checkpoint(run.checkpoint).tokenizer
    sample, size = [], 0
    for text in sorted(texts, key=lambda text: unit_interval(f"tokenizer:{text.key}")):
        sample.append(text.text[:4000])
        size += len(sample[-1])
        if size >= TOKENIZER_CHARACTERS:
            break
    return train_tokenizer(sample, config.vocabulary_size)


def _counts(texts: list[LabelledText]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text.source] = counts.get(text.source, 0) + 1
    return dict(sorted(counts.items()))
