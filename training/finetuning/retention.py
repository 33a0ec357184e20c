"""What fine-tuning keeps: bits per byte on general text that is never trained on.

A model that learns to answer forgets some of what it knew; the figure before and after says how
much. Bits per byte do not depend on the tokenizer, so foundations can be compared as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from assistant.tokenizer import Tokenizer
from training.data.broken import Broken
from training.data.sources import documents, find_files
from training.finetuning.mixing import text_examples
from training.finetuning.packing import answer_loss, packed
from training.model import Transformer
from training.pretraining.task import token_bytes

TEXTS = Path(__file__).parent.parent / "evaluation" / "retention.jsonl"
"""Paragraphs written for this: science, stories, instructions, code."""
METRIC, BEFORE = "retention_bits_per_byte", "retention_bits_per_byte_before"


@dataclass(frozen=True)
class RetentionConfig:
    """Settings of the text that is measured before and after."""

    texts: tuple[str, ...] = ()
    """Files or folders, read as by training prepare; none: 30 paragraphs written for this."""
    tokens: int = 20_000
    """Most tokens of it that are read; 0: nothing is measured."""


class Retention:
    """Held-out text, packed once and measured as often as wanted.

    Args:
        length: tokens of a row.

    Raises:
        BadInputError: a file cannot be read.
    """

    def __init__(
        self, config: RetentionConfig, tokenizer: Tokenizer, length: int, rows: int = 4
    ) -> None:
        paths = [Path(path) for path in config.texts] or [TEXTS]
        sizes = token_bytes(tokenizer).tolist()
        chosen, held = [], 0
        files = find_files(paths) if config.tokens else []
        for document in documents(files, Broken(0, setting="retention.texts")):
            for example in text_examples(document.text, tokenizer, length):
                if held + len(example.ids) <= config.tokens:
                    chosen.append(example)
                    held += len(example.ids)
        # the first id of a row is read, not predicted
        self.bytes = sum(sizes[i] for example in chosen for i in example.ids[1:])
        self._batches = packed(chosen, rows * length)

    @torch.no_grad()
    def bits_per_byte(self, transformer: Transformer) -> float | None:
        """Return the bits that a byte of the text costs; None when nothing is measured."""
        if not self.bytes:
            return None
        nats = sum(float(answer_loss(transformer, batch)[0]) for batch in self._batches)
        return nats / math.log(2) / self.bytes
