"""Contrastive fine-tuning of a sentence encoder: what means the same lies close.

Two texts of one group are a pair; the other texts of the batch are what each must be told from
(InfoNCE, https://arxiv.org/abs/1807.03748, in both directions).

Shapes: B pairs, T tokens, D width.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.handbook.encoder import text_ids
from assistant.handbook.entries import phrasings
from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint
from training.datasets.jsonl import files_sha256, find_files, read_rows
from training.device import choose_device
from training.encoder import Encoder
from training.finetuning.conversations import Dialogue, DialogueData, load_dialogues
from training.finetuning.sentence_search import (
    SearchBatch,
    SearchItem,
    draw_search,
    search_items,
    search_loss,
)
from training.handbook.entries import handbook_entries
from training.loop import LoopConfig, train
from training.precision import Precision, precision
from training.run import Run, commit

TOGETHER = 24
"""Texts encoded at once."""


@dataclass(frozen=True)
class EncoderConfig:
    """Settings of the fine-tuning of a sentence encoder."""

    stage: ClassVar[str] = "encoder"
    foundation: str
    """Checkpoint of an encoder: `training import --model minilm`."""
    data: DialogueData = field(default_factory=DialogueData)
    """Dialogues: ways to ask the same, and their answers."""
    intents: tuple[str, ...] = ()
    """JSON Lines files of questions (messages or text) with an intent; those of one are a group."""
    batch_size: int = 32
    """Pairs in a batch, each of another group."""
    intent_share: float = 0.25
    """Share of a batch's pairs that are drawn from intents, if there are any."""
    answer_share: float = 0.3
    """Share of the dialogues' pairs that are a question and its answer."""
    max_tokens: int = 64
    """Tokens read of a text."""
    questions: int = 0
    """Questions about notes in a batch; the sentences that answer them are told from the others."""
    threshold: float = 0.45
    """Cosine that sentences which answer such a question pass, and no others."""
    temperature: float = 0.05
    """Divides the cosines."""
    train_embeddings: bool = False
    """Train the words' vectors too; most of them never occur in the data."""
    by_topic: float = 0.0
    """Share of the epochs in which a batch is of one topic as far as it goes: problems that sound
    alike have to be told apart then."""
    precision: Precision = "auto"
    """Of the matrix products. auto: bfloat16 on a GPU, float32 on CPU; bfloat16 is faster on a CPU
    with AMX or AVX512-BF16."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop; an epoch is one pair of each dialogue."""
    device: str = "auto"
    """auto, cpu or cuda."""
    seed: int = 1
    """Seed of the pairs."""


@dataclass(frozen=True)
class Group:
    """Texts that mean the same, and the answer to them or nothing."""

    texts: tuple[str, ...]
    answer: str = ""
    topic: str = ""


@dataclass(frozen=True)
class PairBatch:
    """Texts [2B, T], padded with 0: pair n is rows n and B + n; ``lengths`` are [2B].

    Behind them, if any, the questions and the sentences of ``search``.
    """

    ids_BT: Tensor
    lengths_B: Tensor
    pairs: int
    search: SearchBatch | None = None
    divisible: ClassVar[bool] = False


def dialogue_groups(dialogues: Sequence[Dialogue]) -> list[Group]:
    """Return a group for each handbook entry of the training split."""
    return [
        Group(tuple(phrasings(entry)), entry.answer, entry.topic)
        for entry in handbook_entries(dialogues)
    ]


def intent_groups(paths: Sequence[Path]) -> list[Group]:
    """Read questions with an ``intent``; raises ValueError with file:line."""
    texts: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for place, row in read_rows(path):
            try:
                text = row["text"] if "text" in row else row["messages"][0]["content"]
                texts[str(row["intent"])].append(str(text))
            except (KeyError, IndexError, TypeError) as error:
                raise ValueError(f"{place}: a question with an intent is needed") from error
    return [Group(tuple(group)) for group in texts.values() if len(group) > 1]


class PairSource:
    """A ``BatchSource`` of pairs; an epoch depends on its number and the seed alone."""

    def __init__(
        self,
        groups: Sequence[Group],
        intents: Sequence[Group],
        tokenizer: Tokenizer,
        config: EncoderConfig,
        items: Sequence[SearchItem] = (),
    ) -> None:
        self.items = items
        if len(items) < config.questions:
            raise ValueError(
                f"{len(items)} questions about notes are too few for {config.questions} in a batch"
            )
        self.groups = [g for g in groups if len(g.texts) > 1 or g.answer]
        self.intents, self.tokenizer, self.config = intents, tokenizer, config
        self.from_intents = min(
            round(config.batch_size * config.intent_share) if intents else 0, len(intents)
        )
        self.from_groups = config.batch_size - self.from_intents
        if len(self.groups) < self.from_groups or self.from_groups < 1:
            raise ValueError(
                f"{len(self.groups)} groups of texts are too few for batches of "
                f"{config.batch_size} pairs"
            )
        self._epoch, self._index, self._planned = 0, 0, -1
        self._order: list[int] = []

    def next(self) -> PairBatch:
        """Return the next batch; the rest of an epoch that fills none is left out."""
        if self._index + self.from_groups > len(self.groups):
            self._epoch, self._index = self._epoch + 1, 0
        if self._planned != self._epoch:
            self._order = self._plan(random.Random(f"{self.config.seed}:{self._epoch}"))  # noqa: S311
            self._planned = self._epoch
        draw = random.Random(f"{self.config.seed}:{self._epoch}:{self._index}")  # noqa: S311
        chosen = self._order[self._index : self._index + self.from_groups]
        self._index += self.from_groups
        pairs = [self._pair(self.groups[number], draw) for number in chosen]
        for group in draw.sample(list(self.intents), self.from_intents):
            pairs.append(self._pair(group, draw))
        if not self.config.questions:
            return self.batch(pairs)
        items = draw.sample(self.items, self.config.questions)
        return self.batch(pairs, draw_search(items, draw))

    def skip(self) -> None:
        """Go past the next batch."""
        if self._index + self.from_groups > len(self.groups):
            self._epoch, self._index = self._epoch + 1, 0
        self._index += self.from_groups

    def _plan(self, draw: random.Random) -> list[int]:
        """Order an epoch, at random or by topic."""
        order = list(range(len(self.groups)))
        draw.shuffle(order)
        if self.config.by_topic and draw.random() < self.config.by_topic:
            order.sort(key=lambda number: self.groups[number].topic)
        size = self.from_groups
        start = draw.randrange(size)  # topics are cut elsewhere each time
        order = order[start:] + order[:start]
        whole = len(order) - len(order) % size
        batches = [order[n : n + size] for n in range(0, whole, size)]
        draw.shuffle(batches)
        return [number for batch in batches for number in batch] + order[whole:]

    def _pair(self, group: Group, draw: random.Random) -> tuple[str, str]:
        with_answer = bool(group.answer) and (
            len(group.texts) < 2 or draw.random() < self.config.answer_share
        )
        if with_answer:
            return draw.choice(group.texts), group.answer
        first, second = draw.sample(group.texts, 2)
        return first, second

    def batch(
        self, pairs: Sequence[tuple[str, str]], search: SearchBatch | None = None
    ) -> PairBatch:
        """Encode pairs and what is searched for."""
        texts = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
        if search is not None:
            texts += [*search.questions, *search.sentences]
        rows = [text_ids(self.tokenizer, text, self.config.max_tokens) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.zeros((len(rows), int(lengths.max())), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        return PairBatch(ids, lengths, len(pairs), search)

    def state(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        self._epoch, self._index = int(state["epoch"]), int(state["index"])

    @property
    def epoch(self) -> float:
        """Passes over the dialogues so far."""
        return self._epoch + self._index / len(self.groups)


class EncoderTask:
    """The loss, the validation and the checkpoint of an encoder's fine-tuning."""

    def __init__(
        self,
        encoder: Encoder,
        source: PairSource,
        validation: Sequence[Group],
        config: EncoderConfig,
        provenance: dict[str, Any],
    ) -> None:
        self.encoder, self.source, self.config = encoder, source, config
        self.provenance = provenance
        self.validation = [group for group in validation if len(group.texts) > 1]

    def vectors(self, batch: PairBatch) -> Tensor:
        """Return the vectors of a batch's texts, each of length one.

        Texts of like length are encoded together, so that little of what is computed is padding.
        """
        device = self.encoder.embeddings.word_embeddings.weight.device
        order = batch.lengths_B.argsort(stable=True)
        means = [
            self.encoder.mean(
                batch.ids_BT[rows, : int(batch.lengths_B[rows[-1]])].to(device),
                batch.lengths_B[rows].to(device),
            )
            for rows in order.split(TOGETHER)
        ]
        return F.normalize(torch.cat(means)[order.argsort().to(device)], dim=-1)

    def loss(self, batch: PairBatch) -> tuple[Tensor, int]:
        """Return the summed cross-entropy of finding each text's partner, and their number.

        The mean loss of what is searched for weighs as much as the pairs' mean.
        """
        device = self.encoder.embeddings.word_embeddings.weight.device
        with precision(device, self.config.precision):
            vectors = self.vectors(batch).float()
        first_BD, second_BD = vectors[: 2 * batch.pairs].chunk(2)
        similarity_BB = first_BD @ second_BD.T / self.config.temperature
        targets = torch.arange(len(similarity_BB), device=similarity_BB.device)
        both = [similarity_BB, similarity_BB.T]
        summed = torch.stack([F.cross_entropy(s, targets, reduction="sum") for s in both])
        count = 2 * len(targets)
        if batch.search is None:
            return summed.sum(), count
        questions_QD, sentences_CD = vectors[2 * batch.pairs :].split(
            [len(batch.search.questions), len(batch.search.sentences)]
        )
        scale = 1 / self.config.temperature
        searched = search_loss(
            questions_QD, sentences_CD, batch.search, scale, self.config.threshold
        )
        return summed.sum() + count * searched, count

    def tokens(self, batch: PairBatch) -> int:
        """Return the tokens read, padding not counted."""
        return int(batch.lengths_B.sum())

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return how often another wording of a validation question finds the question."""
        if len(self.validation) < 2:
            return {}
        pairs = [(group.texts[0], text) for group in self.validation for text in group.texts[1:]]
        owners = [n for n, group in enumerate(self.validation) for _ in group.texts[1:]]
        vectors = [self.vectors(self.source.batch(chunk)).chunk(2) for chunk in _chunks(pairs, 64)]
        questions = torch.cat([first for first, _ in vectors])
        asks = torch.cat([second for _, second in vectors])
        firsts = [owners.index(n) for n in range(len(self.validation))]
        similarity = asks @ questions[firsts].T
        targets = torch.tensor(owners, device=similarity.device)
        loss = F.cross_entropy(similarity / self.config.temperature, targets)
        hits = (similarity.argmax(dim=1) == targets).float().mean()
        return {"validation_loss": float(loss), "validation_hit_at_1": float(hits)}

    def samples(self) -> dict[str, str]:
        """Return none: an encoder writes nothing."""
        return {}

    def checkpoint(self) -> Checkpoint:
        """Return the encoder."""
        return Checkpoint(
            task="pretrained",
            transformer=self.encoder,
            tokenizer=self.source.tokenizer,
            provenance=self.provenance,
        )


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def finetune_encoder(config: EncoderConfig, run: Run, resume: bool = False) -> Checkpoint:
    """Fine-tune an encoder and leave it in ``run.checkpoint``.

    Raises:
        ValueError: unusable settings, foundation or data, or a loss that is not finite.
        Paused: see ``training.loop.train``.
    """
    foundation = load_checkpoint(Path(config.foundation), choose_device(config.device))
    encoder = foundation.transformer
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f"{config.foundation} is no sentence encoder; `training import --model minilm` "
            "brings one"
        )
    if config.max_tokens > encoder.context_length:
        raise ValueError(f"max_tokens: the encoder reads at most {encoder.context_length}")
    encoder.embeddings.requires_grad_(config.train_embeddings)
    dialogues = load_dialogues(config.data)
    intents = find_files(config.intents) if config.intents else []
    hashes = files_sha256([*config.data.paths, *intents])
    run.data(hashes)
    validation = [
        Group((d.messages[0].content, *d.asks))
        for d in dialogues
        if d.split == "validation" and not d.notes
    ]
    source = PairSource(
        dialogue_groups(dialogues),
        intent_groups(intents),
        foundation.tokenizer,
        config,
        search_items([dialogue for dialogue in dialogues if dialogue.split == "train"]),
    )
    provenance = {
        "stage": "finetune encoder",
        "foundation": foundation.provenance,
        "data": hashes,
        "commit": commit(),
        "seed": config.seed,
    }
    task = EncoderTask(encoder, source, validation, config, provenance)
    before = task.evaluate()
    run.log({"step": 0, "evaluation": before})
    metrics = train(encoder, task, source, config.loop, run, resume)
    metrics |= {f"{name}_before": value for name, value in before.items()}
    checkpoint = load_checkpoint(run.checkpoint)
    checkpoint.extra["metrics"] = metrics
    tensors, state = load_state(run.checkpoint)
    save_checkpoint(run.checkpoint, checkpoint, tensors, state)
    return checkpoint
