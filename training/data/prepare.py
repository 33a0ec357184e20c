"""From documents to shards: duplicates out, split by document, tokenized in parallel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import file_sha256
from assistant.tokenizer import END_OF_TEXT, Tokenizer
from training.data.shards import (
    FORMAT_VERSION,
    LARGEST_VOCABULARY,
    MANIFEST,
    SPLITS,
    ShardWriter,
    Split,
)
from training.data.sources import Broken, Document, documents, find_files
from training.run import Run
from training.tokenizer.train import save_tokenizer

BATCH_CHARACTERS = 4_000_000
"""Characters tokenized at once: what the threads share, and what memory holds."""


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of data preparation."""

    stage: ClassVar[str] = "prepare"
    validation_fraction: float = 0.01
    """Share of the documents held out for validation, chosen by a hash of the text."""
    shard_tokens: int = 2**24
    """Tokens in a shard file."""
    max_broken: int = 100
    """Broken lines that are skipped before it becomes an error."""
    threads: int = 0
    """Threads of the tokenizer; 0: all cores."""


def split_of(text: str, validation_fraction: float) -> tuple[int, Split]:
    """Return a document's 64-bit key and its split; both depend on its text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    key, place = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") / 2**64
    return key, "validation" if place < validation_fraction else "train"


def encode_documents(
    texts: Sequence[str], tokenizer: Tokenizer, threads: int = 0
) -> list[NDArray[np.uint16]]:
    """Return each document's ids after a BOS id, tokenized on several threads."""
    bos = tokenizer.special(END_OF_TEXT)
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    workers = threads or os.cpu_count() or 1
    encoded = tokenizer.encoding.encode_ordinary_batch(clean, num_threads=workers)
    if any(bytes([value]) not in tokenizer.ranks for value in range(256)):
        size = tokenizer.vocabulary_size  # stand-ins for missing bytes lie above, see Tokenizer
        encoded = [[i for i in ids if i < size] for ids in encoded]
    return [np.array([bos, *ids], dtype=np.uint16) for ids in encoded]


def prepare(
    inputs: Sequence[Path], tokenizer: Tokenizer, config: PrepareConfig, run: Run
) -> dict[str, Any]:
    """Tokenize files and folders into shards in the run folder; returns the manifest.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
        ValueError: the vocabulary does not fit uint16, or a split came out empty.
    """
    if tokenizer.vocabulary_size > LARGEST_VOCABULARY:
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary_size} ids; shards hold {LARGEST_VOCABULARY}"
        )
    files = find_files(inputs)
    sources = {str(path): file_sha256(path) for path in files}
    run.data(sources)
    broken, counts = Broken(config.max_broken), {"read": 0, "empty": 0, "duplicates": 0}
    seen: set[int] = set()
    writers = {s: ShardWriter(run.directory, s, config.shard_tokens) for s in SPLITS}
    text_bytes = 0
    with run.progress("prepare") as progress:
        for batch in _batches(documents(files, broken, progress)):
            chosen: list[tuple[Split, str]] = []
            for document in batch:
                counts["read"] += 1
                if not document.text:
                    counts["empty"] += 1
                    continue
                key, split = split_of(document.text, config.validation_fraction)
                if key in seen:
                    counts["duplicates"] += 1
                    continue
                seen.add(key)
                chosen.append((split, document.text))
            encoded = encode_documents([text for _, text in chosen], tokenizer, config.threads)
            for (split, text), ids in zip(chosen, encoded, strict=True):
                text_bytes += len(text.encode("utf-8", "replace"))
                writers[split].add(ids)
    for split, writer in writers.items():
        writer.close()
        if not writer.documents:
            raise ValueError(
                f"No document came into the {split} split: give more documents, or change "
                f"validation_fraction ({config.validation_fraction})"
            )
    save_tokenizer(run.directory, tokenizer)
    manifest = {
        "format_version": FORMAT_VERSION,
        "tokenizer": tokenizer.spec.to_json(),
        "documents": counts | {"broken_lines": broken.count},
        "text_bytes": text_bytes,
        "splits": {
            split: {
                "documents": writer.documents,
                "tokens": writer.tokens,
                "shards": writer.shards,
            }
            for split, writer in writers.items()
        },
        "sources": sources,
    }
    building = run.directory / f"{MANIFEST}.tmp"
    building.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    building.replace(run.directory / MANIFEST)
    run.summary(
        {
            "data": str(run.directory),
            "documents": sum(writer.documents for writer in writers.values()),
            "duplicates": counts["duplicates"],
            "empty": counts["empty"],
            "broken_lines": broken.count,
            "train_tokens": writers["train"].tokens,
            "validation_tokens": writers["validation"].tokens,
            "bytes_per_token": text_bytes / sum(writer.tokens for writer in writers.values()),
        }
    )
    return manifest


def _batches(stream: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in stream:
        batch.append(document)
        characters += len(document.text) + 256
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
