"""Instruction fine-tuning: a foundation model learns to answer.

The loss counts the assistant's text and its end token alone, summed over all of a step's
micro-batches and divided once by the number of those tokens.
"""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint
from training.data.broken import Broken
from training.datasets.jsonl import files_sha256
from training.device import choose_device
from training.finetuning.compensation import compensate, lies_on, plainly_rounded
from training.finetuning.conversations import DialogueData, Example, load_dialogues
from training.finetuning.distillation import DistillationConfig, distillation_loss, divergence
from training.finetuning.examples import ChatExamples
from training.finetuning.grid import GridConfig, put_on_grid, rounded_weights
from training.finetuning.grounded import GroundedConfig
from training.finetuning.handbook import HandbookConfig, open_examples
from training.finetuning.lora import LoraConfig, add_lora, lora_config, merged
from training.finetuning.mixing import PlainTexts
from training.finetuning.packing import PackedBatch, PackedSource, answer_loss, packed
from training.finetuning.retention import BEFORE, METRIC, Retention, RetentionConfig
from training.loop import LoopConfig, train
from training.model import Transformer
from training.precision import Precision, precision, products
from training.run import Run, commit
from training.sampling import SamplingOptions, samples
from training.symmetric_grid import BLOCK
from training.world import primary


@dataclass(frozen=True)
class ChatConfig:
    """Settings of instruction fine-tuning."""

    stage: ClassVar[str] = "chat"
    foundation: str
    """Checkpoint to start from: pretrained here, or imported."""
    data: DialogueData = field(default_factory=DialogueData)
    """Which dialogues."""
    weights: dict[str, float] = field(default_factory=dict)
    """Passes over a source in one epoch, 1 where none is given; a fraction is a chance. A source
    is named by a row's "source", or by the file."""
    texts: tuple[str, ...] = ()
    """Plain text mixed in against forgetting: files or folders, read as by training prepare; every
    token of it counts. How much of it, weights say."""
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    """What fine-tuning keeps, measured before and after."""
    asks: Literal["all", "one"] = "all"
    """Ways to ask one question in an epoch: all of them, or one drawn anew."""
    context_length: int = 512
    """Tokens of a conversation; longer ones are cut. At most the foundation's."""
    batch_size: int = 8
    """A micro-batch has at most batch_size x context_length tokens, without padding and with a
    common system prompt counted once; a step has loop.accumulate of them."""
    handbook: HandbookConfig = field(default_factory=HandbookConfig)
    """Entries in front of questions."""
    grounded: GroundedConfig = field(default_factory=GroundedConfig)
    """Changes to dialogues with notes."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Adapters instead of full fine-tuning."""
    grid: GridConfig = field(default_factory=GridConfig)
    """Full fine-tuning through the rounding to 4 bits."""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """A teacher whose probabilities are learned."""
    freeze_embedding: bool = False
    """Leave the tied embedding as it is: it and the output layer are then the foundation's."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""
    eval_dialogues: int = 200
    """Validation dialogues read at an evaluation; 0: all."""
    sample_questions: tuple[str, ...] = ("How can I reset my password?",)
    """Questions that are answered at each evaluation."""
    sample_tokens: int = 48
    """Tokens of each of these answers."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Precision = "auto"
    """Of the matrix products. auto: bfloat16 on a GPU, float32 on CPU. bfloat16-products: tensors
    stay float32; two to four times as fast on a CPU with AMX, slower on most others."""
    seed: int = 1
    """Seed of the adapters, of the order of the data and of the questions drawn."""


class ChatTask:
    """The loss, the validation perplexity and the checkpoint of instruction fine-tuning."""

    def __init__(
        self,
        transformer: Transformer,
        tokenizer: Tokenizer,
        validation: list[Example],
        config: ChatConfig,
        provenance: dict[str, Any],
        retention: Retention | None = None,
        teacher: Transformer | None = None,
    ) -> None:
        self.transformer, self.tokenizer, self.config = transformer, tokenizer, config
        self.provenance, self.retention, self.teacher = provenance, retention, teacher
        self.device = transformer.norm.weight.device
        length = _row_length(config, transformer)
        self._validation = packed(validation, length * config.batch_size)

    def loss(self, batch: PackedBatch) -> tuple[Tensor, int]:
        """Return the summed loss and the number of counted tokens."""
        with precision(self.device, self.config.precision), parametrize.cached():
            if self.teacher is not None:
                settings = self.config.distillation
                return distillation_loss(self.transformer, self.teacher, batch, settings)
            return answer_loss(self.transformer, batch)

    def tokens(self, batch: PackedBatch) -> int:
        """Return the tokens of the conversations, padding not counted."""
        return int(batch.lengths_K.sum())

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return loss and perplexity per token of the validation answers, and the retention.

        With a teacher also the mean divergence from it and the share of tokens that agree.
        """
        total, count = 0.0, 0
        differ, agree, tokens = 0.0, 0, 0
        with precision(self.device, self.config.precision), parametrize.cached():
            for batch in self._validation:
                summed, number = answer_loss(self.transformer, batch)
                total, count = total + float(summed), count + number
                if self.teacher is not None:
                    found = divergence(self.transformer, self.teacher, batch)
                    differ, agree, tokens = (
                        differ + found[0], agree + found[1], tokens + found[2]
                    )  # fmt: skip
            kept = self.retention and self.retention.bits_per_byte(self.transformer)
        metrics = {METRIC: kept} if kept else {}
        if tokens:
            metrics |= {"teacher_divergence": differ / tokens, "teacher_agreement": agree / tokens}
        if not count:
            return metrics
        mean = total / count
        losses = {"validation_loss": mean, "validation_perplexity": math.exp(min(mean, 50.0))}
        return losses | metrics

    @torch.no_grad()
    def samples(self) -> dict[str, str]:
        """Answer the sample questions, greedily."""
        current = Checkpoint(
            "chat", self.transformer, self.tokenizer,
            extra={"system_prompt": self.config.data.system_prompt},
        )  # fmt: skip
        options = SamplingOptions(self.config.sample_tokens, temperature=0.0)
        with parametrize.cached():
            answers = samples(current, self.config.sample_questions, options)
        return {question: f" {answer.strip()}" for question, answer in answers.items()}

    def checkpoint(self) -> Checkpoint:
        """Return the chat model, adapters merged or not as configured."""
        merge = self.config.lora.merge
        return Checkpoint(
            task="chat",
            transformer=rounded_weights(merged(self.transformer) if merge else self.transformer),
            tokenizer=self.tokenizer,
            extra={"system_prompt": self.config.data.system_prompt},
            provenance=self.provenance,
        )


def _start(foundation: Checkpoint, config: ChatConfig) -> Transformer:
    """Return what is trained: the foundation, with adapters if configured.

    Adapters that the foundation kept are trained further when their shape is the configured
    one; otherwise they are merged.
    """
    before = lora_config(foundation.decoder)
    if before is not None and before == replace(config.lora, merge=False):
        return foundation.decoder
    transformer = merged(foundation.decoder)
    if before is not None and not config.grid.bits:
        print(
            f"warning: the foundation's adapters (rank {before.rank}, alpha {before.alpha:g}) are "
            "merged into its weights; set the same lora.rank and lora.alpha to train them further",
            file=sys.stderr,
        )
    if config.lora.rank:
        add_lora(transformer, config.lora, config.seed)
    return transformer


def _check_grid(config: ChatConfig, foundation: Transformer) -> None:
    if config.grid.bits not in (0, 4):
        raise ValueError(f"grid.bits {config.grid.bits}: 4, or 0 for none")
    if config.grid.bits and config.lora.rank:
        raise ValueError("grid.bits and lora.rank: whole matrices are trained through rounding")
    if config.grid.bits:
        for module in foundation.modules():
            if isinstance(module, nn.Linear | nn.Embedding) and module.weight.shape[-1] % BLOCK:
                raise ValueError(
                    f"{module.weight.shape[-1]} inputs: grid.bits needs multiples of {BLOCK}"
                )


def _teacher(config: ChatConfig, tokenizer: Tokenizer, device: torch.device) -> Transformer | None:
    path = config.distillation.teacher
    if not path:
        return None
    teacher = load_checkpoint(Path(path), device)
    if teacher.classifier is not None or teacher.tokenizer.ranks != tokenizer.ranks:
        raise ValueError(f"distillation.teacher {path}: not a language model of the same tokens")
    return merged(teacher.decoder).requires_grad_(False).eval()


def _calibration(examples: ChatExamples, config: ChatConfig) -> list[PackedBatch]:
    """Return training examples of about as many tokens as configured."""
    draw = random.Random(f"calibration:{config.seed}")  # noqa: S311
    found = examples(draw)
    draw.shuffle(found)
    tokens, chosen = 0, []
    for example in found:
        if tokens >= config.grid.calibration_tokens:
            break
        chosen.append(example)
        tokens += len(example.ids)
    return packed(chosen, max(config.context_length, 2048))


def _row_length(config: ChatConfig, transformer: Transformer) -> int:
    return min(config.context_length, transformer.context_length)


def _provenance(
    config: ChatConfig, foundation: Checkpoint, hashes: dict[str, str], dialogues: int
) -> dict[str, Any]:
    """Return where the model comes from, for its checkpoint and its card."""
    provenance: dict[str, Any] = {
        "stage": "finetune chat",
        "foundation": foundation.provenance | {"checkpoint": Path(config.foundation).name},
        "data": hashes,
        "commit": commit(),
        "seed": config.seed,
        "dialogues": dialogues,
    }
    if config.weights:
        provenance["weights"] = config.weights
    if config.grid.bits:
        provenance["grid_bits"] = config.grid.bits
    if config.distillation.teacher:
        same = config.distillation.teacher == config.foundation
        name = Path(config.distillation.teacher).name
        provenance["teacher"] = "its foundation" if same else name
    return provenance


def finetune_chat(config: ChatConfig, run: Run, resume: bool = False) -> Checkpoint:
    """Fine-tune a foundation model on dialogues and leave it in ``run.checkpoint``.

    Raises:
        ValueError: unusable settings, foundation or data, or a loss that is not finite.
        Paused: see ``training.loop.train``.
    """
    device = choose_device(config.device)
    foundation = load_checkpoint(Path(config.foundation), device)
    if foundation.classifier is not None:
        raise ValueError(f"{config.foundation} is a classifier; chat starts from a language model")
    _check_grid(config, foundation.decoder)
    transformer, tokenizer = _start(foundation, config), foundation.tokenizer
    length = _row_length(config, transformer)
    if length < config.context_length:
        print(
            f"warning: the foundation reads {length} tokens; context_length "
            f"{config.context_length} is cut to that",
            file=sys.stderr,
        )
    broken = Broken(config.data.max_broken, not primary(), "data.max_broken")
    dialogues = load_dialogues(config.data, broken)
    texts = PlainTexts(config.texts, tokenizer, length, broken)
    if primary():
        broken.write(run.directory)
    by_split = {s: [d for d in dialogues if d.split == s] for s in ("train", "validation")}
    hashes = files_sha256([*config.data.paths, *texts.files])
    run.data(hashes)
    examples = ChatExamples(
        by_split["train"],
        tokenizer,
        length,
        config.data.system_prompt,
        config.asks == "one",
        open_examples(config.handbook),
        config.grounded,
        config.weights,
        texts,
    )
    if not examples.dialogues:
        raise ValueError("No dialogue is left to train on; see data.files and context_length")
    validation = examples.held_out(by_split["validation"][: config.eval_dialogues or None])
    provenance = _provenance(config, foundation, hashes, len(by_split["train"]))
    kept = Retention(config.retention, tokenizer, length)
    before = kept.bits_per_byte(transformer)
    if config.grid.bits:
        known = resume and run.resumable  # what is trained comes from the checkpoint then
        rounded = plainly_rounded(transformer)
        if not known and not lies_on(transformer, rounded):
            rounded = compensate(transformer, _calibration(examples, config))
        put_on_grid(transformer, rounded)
    if config.freeze_embedding:
        transformer.embed_tokens.requires_grad_(False)
    teacher = _teacher(config, tokenizer, device)
    task = ChatTask(transformer, tokenizer, validation, config, provenance, kept, teacher)
    source = PackedSource(examples, length * config.batch_size, config.seed)
    with products(config.precision):
        metrics = train(transformer, task, source, config.loop, run, resume)
    checkpoint = load_checkpoint(run.checkpoint, device)
    if before is not None:
        metrics[BEFORE] = before
    checkpoint.extra["metrics"] = metrics | {"broken_rows": float(broken.count)}
    tensors, state = load_state(run.checkpoint)
    save_checkpoint(run.checkpoint, checkpoint, tensors, state)
    return checkpoint
