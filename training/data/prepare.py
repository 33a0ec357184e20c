"""From documents to shards: read and tokenized in parallel, duplicates out, split by document."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import file_sha256
from assistant.errors import BadInputError
from assistant.tokenizer import Tokenizer
from training.data.broken import BROKEN, Broken
from training.data.near_duplicates import near_duplicates
from training.data.parts import Part, Work, finished, make, plan, stamp_of
from training.data.shards import (
    FORMAT_VERSION,
    LARGEST_VOCABULARY,
    MANIFEST,
    SPLITS,
    ShardWriter,
)
from training.data.sources import find_files, sources_there
from training.progress import Progress
from training.run import Run
from training.tokenizer.train import save_tokenizer

PARTS = "parts"
WORTH_PROCESSES = 8 * 2**20
"""Bytes of input below which starting processes costs more than it saves."""
LISTED_FILES = 1000
"""Input files that are listed one by one; more are hashed together."""
_SCATTER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of data preparation."""

    stage: ClassVar[str] = "prepare"
    validation_fraction: float = 0.01
    """Share of the documents held out for validation, chosen by a hash of the text."""
    near_duplicates: float = 0.8
    """Documents that share at least this much of their five-token runs with an earlier one are
    left out (Jaccard similarity, estimated by MinHash); 0: only exact copies are."""
    weights: dict[str, float] = field(default_factory=dict)
    """Passes over a source's documents in one epoch, 1 where none is given; a fraction is a
    share. Sources are named by a row's "source", or by the file."""
    licences: tuple[str, ...] = ()
    """Licences that are used, as rows name them under "license"; none: all, also unknown ones."""
    text_column: str = ""
    """Column of CSV files that holds the text; empty: the first of text, content, body, ..."""
    shard_tokens: int = 2**24
    """Tokens in a shard file."""
    max_broken: int = 100
    """Broken lines that are skipped before it becomes an error; they are in broken.jsonl."""
    workers: int = 0
    """Processes that read and tokenize; 0: one a core."""


def prepare(
    inputs: Sequence[Path], tokenizer: Tokenizer, config: PrepareConfig, run: Run
) -> dict[str, Any]:
    """Tokenize files and folders into shards in the run folder; returns the manifest.

    A run that was interrupted goes on with the parts that are finished.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
        ValueError: the vocabulary does not fit uint16, a weight names no source, or a split
            came out empty.
    """
    if tokenizer.vocabulary_size > LARGEST_VOCABULARY:
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary_size} ids; shards hold {LARGEST_VOCABULARY}"
        )
    if not 0 <= config.near_duplicates <= 1:
        raise ValueError(f"near_duplicates {config.near_duplicates}: expected 0 to 1")
    files = find_files(inputs)
    hashes = _hashes(files)
    run.data(hashes)
    save_tokenizer(run.directory, tokenizer)
    with run.progress("prepare") as progress:
        parts = _parts(files, tokenizer, config, run, progress)
    copies, near = _duplicates(parts, config)
    origins, passes = _origins(parts, ~(copies | near), config)
    writers = {s: ShardWriter(run.directory, s, config.shard_tokens) for s in SPLITS}
    _write(parts, passes, writers)
    for split, writer in writers.items():
        writer.close()
        if not writer.documents:
            raise ValueError(
                f"No document came into the {split} split: give more documents, or change "
                f"validation_fraction ({config.validation_fraction})"
            )
    counts = {
        "read": sum(part.facts["counts"]["read"] for part in parts),
        "empty": sum(part.facts["counts"]["empty"] for part in parts),
        "licence_left_out": sum(part.facts["counts"]["licence"] for part in parts),
        "duplicates": int(copies.sum()),
        "near_duplicates": int(near.sum()),
        "broken_lines": len(_broken(parts)),
    }
    kept = ~(copies | near)
    text_bytes = int(np.concatenate([part.size for part in parts])[kept].sum())
    kept_tokens = int(np.concatenate([part.tokens for part in parts])[kept].sum())
    manifest = {
        "format_version": FORMAT_VERSION,
        "tokenizer": tokenizer.spec.to_json(),
        "documents": counts,
        "text_bytes": text_bytes,
        "splits": {
            split: {
                "documents": writer.documents,
                "tokens": writer.tokens,
                "shards": writer.shards,
            }
            for split, writer in writers.items()
        },
        "origins": origins,
        "sources": hashes,
    }
    building = run.directory / f"{MANIFEST}.tmp"
    building.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    building.replace(run.directory / MANIFEST)
    shutil.rmtree(run.directory / PARTS)
    run.summary(
        {"data": str(run.directory), "documents": int(kept.sum())}
        | {name: count for name, count in counts.items() if name != "read"}
        | {f"{split}_tokens": writer.tokens for split, writer in writers.items()}
        | {"bytes_per_token": text_bytes / max(kept_tokens, 1)}
    )
    return manifest


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    """Return each file's sha256; of very many files one of all."""
    if len(files) <= LISTED_FILES:
        return {str(path): file_sha256(path) for path in files}
    together = hashlib.sha256()
    for path in files:
        together.update(f"{path} {file_sha256(path)}\n".encode("utf-8", "surrogateescape"))
    return {f"{len(files)} files": together.hexdigest()}


def works_of(
    files: Sequence[Path], tokenizer: Tokenizer, config: PrepareConfig, directory: Path
) -> list[Work]:
    """Return what has to be made for a run folder, which holds the tokenizer already."""
    place = directory / PARTS
    place.mkdir(exist_ok=True)
    stamp = stamp_of(_relevant(config), tokenizer)
    return [
        Work(
            slices=slices,
            directory=place,
            number=number,
            tokenizer=directory,
            stamp=stamp,
            validation_fraction=config.validation_fraction,
            max_broken=config.max_broken,
            text_column=config.text_column,
            licences=config.licences,
            near=config.near_duplicates > 0,
        )
        for number, slices in enumerate(plan(files))
    ]


def _parts(
    files: Sequence[Path], tokenizer: Tokenizer, config: PrepareConfig, run: Run, progress: Progress
) -> list[Part]:
    """Make the parts that are not there yet, and return all of them in order."""
    works = works_of(files, tokenizer, config, run.directory)
    todo = [work for work in works if finished(work) is None]
    if len(todo) < len(works):
        progress.say(f"prepare: {len(works) - len(todo)} of {len(works)} parts are there already")
    for count, number in enumerate(_made(todo, config.workers), start=len(works) - len(todo) + 1):
        progress.update(count / len(works), f"part {number + 1} of {len(works)}")
    parts = []
    for work in works:
        part = finished(work)
        if part is None:
            raise BadInputError(f"{work.slices[0].path}: changed while it was read")
        parts.append(part)
    _report_broken(parts, config.max_broken, run, progress)
    return parts


def _relevant(config: PrepareConfig) -> Any:
    """Drop the settings that parts do not depend on, so that changing them costs no new pass."""
    return replace(
        config,
        weights={},
        shard_tokens=0,
        workers=0,
        max_broken=0,
        near_duplicates=float(config.near_duplicates > 0),
    )


def _made(works: Sequence[Work], workers: int) -> Iterator[int]:
    """Make parts, in several processes where that is worth it; yields their numbers as they end."""
    size = sum(piece.path.stat().st_size for work in works for piece in work.slices)
    count = min(workers or os.cpu_count() or 1, len(works))
    if count <= 1 or (not workers and size < WORTH_PROCESSES):
        yield from map(make, works)
        return
    # spawn: a fork of a process with threads may never wake up
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_leave_interrupts) as pool:
        futures = [pool.submit(make, work) for work in works]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer


def _report_broken(parts: Sequence[Part], limit: int, run: Run, progress: Progress) -> None:
    """Write the list of what was skipped, show its first lines, and refuse too many."""
    broken = Broken(limit, found=_broken(parts))
    broken.write(run.directory)
    for place, reason in broken.found[: Broken.SHOWN]:
        progress.say(f"warning: {place}: {reason}; skipped")
    if broken.count > limit:
        place, reason = broken.found[limit]
        raise BadInputError(
            f"{place}: {reason}; that is broken line number {limit + 1} of {broken.count}",
            f"All are listed in {run.directory / BROKEN}; repair the data, or allow more with "
            "--set max_broken=...",
        )


def _broken(parts: Sequence[Part]) -> list[tuple[str, str]]:
    return [(place, reason) for part in parts for place, reason in part.facts["broken"]]


def _duplicates(
    parts: Sequence[Part], config: PrepareConfig
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which documents are copies of earlier ones, and which nearly are."""
    keys = np.concatenate([part.key for part in parts])
    copies = np.ones(len(keys), bool)
    copies[np.unique(keys, return_index=True)[1]] = False
    if not config.near_duplicates or not len(keys):
        return copies, np.zeros(len(keys), bool)
    signatures = [part.signatures() for part in parts]
    return copies, near_duplicates(signatures, config.near_duplicates, copies)


def _origins(
    parts: Sequence[Part], kept: NDArray[np.bool_], config: PrepareConfig
) -> tuple[dict[str, Any], list[NDArray[np.int64]]]:
    """Count the kept documents of each source, and return how often each document is written.

    Returns:
        figures by source, and for each part [N] passes: 0 leaves a document out.
    """
    figures: dict[str, dict[str, Any]] = {}
    passes, start = [], 0
    names = {name for part in parts for name in part.facts["origins"]}
    for name in config.weights:
        if name not in names:
            there = sources_there(name, names)
            raise ValueError(f"weights.{name}: there is no such source{there}")
    for part in parts:
        mine = kept[start : start + len(part.key)]
        start += len(part.key)
        own = np.array([config.weights.get(n, 1.0) for n in part.facts["origins"]] or [1.0])
        weight = own[part.origin] if len(part.key) else np.zeros(0)
        chance = (part.key * _SCATTER >> np.uint64(11)).astype(np.float64) / 2**53
        times = np.floor(weight).astype(np.int64) + (chance < weight % 1)
        # held-out documents measure: they are there once, whatever their weight is
        times = np.where(part.validation, (weight > 0).astype(np.int64), times) * mine
        passes.append(times)
        for index, name in enumerate(part.facts["origins"]):
            these = mine & (part.origin == index)
            row = figures.setdefault(
                name,
                {"documents": 0, "tokens": 0, "bytes": 0, "weight": 1.0, "licences": {}},
            )
            row["documents"] += int(these.sum())
            row["tokens"] += int(part.tokens[these].sum())
            row["bytes"] += int(part.size[these].sum())
            row["weight"] = config.weights.get(name, 1.0)
            for number, licence in enumerate(part.facts["licences"]):
                count = int((these & (part.licence == number)).sum())
                if count:
                    label = licence or "not stated"
                    row["licences"][label] = row["licences"].get(label, 0) + count
    return dict(sorted(figures.items())), passes


def _write(
    parts: Sequence[Part], passes: Sequence[NDArray[np.int64]], writers: dict[Any, ShardWriter]
) -> None:
    """Write every document as often as its source's weight says, whole passes after each other."""
    most = max((int(times.max()) for times in passes if len(times)), default=0)
    for number in range(most):
        for part, times in zip(parts, passes, strict=True):
            ids = part.ids()
            for split in SPLITS:
                chosen = (times > number) & (part.validation == (split == "validation"))
                if chosen.any():
                    writers[split].add(ids[np.repeat(chosen, part.tokens)], int(chosen.sum()))
