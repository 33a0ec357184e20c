"""The parallel half of data preparation: each part of the input is read and tokenized by itself.

```
parts/
  00000.json          what it was made from (files, settings, tokenizer), counts, broken lines
  00000.bin           token ids of its documents, BOS first, one after the other
  00000.npz           a row a document: key, split, tokens, bytes, origin, licence
  00000.npy           signatures, see near_duplicates.py
```
A part is finished when its .json is there, which is written last: an interrupted run finds the
finished ones and makes the others.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.tokenizer import END_OF_TEXT, Tokenizer
from training.data.broken import Broken
from training.data.near_duplicates import SLOTS, Signature, signatures
from training.data.shards import DTYPE, Split
from training.data.sources import Slice, compressed, kind, read_slice
from training.tokenizer.train import load_tokenizer

PART_BYTES = 32 * 2**20
"""Bytes of input in a part; memory holds one part's documents for each process."""
FORMAT = 1
LISTED_BROKEN = 1000
"""Broken lines of a part that are listed beyond the allowed number before it is given up."""


@dataclass(frozen=True)
class Work:
    """What makes a part; plain data, as it travels to another process.

    Attributes:
        tokenizer: folder of the tokenizer.
        stamp: of everything the result depends on besides the files.
    """

    slices: tuple[Slice, ...]
    directory: Path
    number: int
    tokenizer: Path
    stamp: str
    validation_fraction: float
    max_broken: int
    text_column: str
    licences: tuple[str, ...]
    near: bool

    def place(self, suffix: str) -> Path:
        """Return the path of one of the part's files."""
        return self.directory / f"{self.number:05d}.{suffix}"

    def key(self) -> str:
        """Return a digest of all that the part is made from."""
        files = []
        for piece in self.slices:
            status = piece.path.stat()
            files.append([str(piece.path), piece.start, piece.stop, status.st_size])
            files[-1].append(status.st_mtime_ns)
        data = json.dumps([FORMAT, files, self.stamp]).encode()
        return hashlib.sha256(data).hexdigest()


@dataclass
class Part:
    """A finished part.

    Attributes:
        key: [N] uint64, a hash of each document's text.
        validation: [N] whether a document is held out.
        tokens, size: [N] ids, BOS included, and bytes of text.
        origin, licence: [N] indexes into ``origins`` and ``licences``.
    """

    work: Work
    facts: dict[str, Any]
    key: NDArray[np.uint64]
    validation: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    size: NDArray[np.int64]
    origin: NDArray[np.int32]
    licence: NDArray[np.int32]

    def ids(self) -> NDArray[np.uint16]:
        """Return the token ids of all documents, memory-mapped."""
        path = self.work.place("bin")
        if path.stat().st_size == 0:
            return np.zeros(0, np.uint16)
        return np.memmap(path, dtype=DTYPE, mode="r")

    def signatures(self) -> Signature:
        """Return the signatures, memory-mapped."""
        if not len(self.key):
            return np.zeros((0, SLOTS), np.uint32)
        return np.load(self.work.place("npy"), mmap_mode="r")


def plan(files: Sequence[Path], part_bytes: int | None = None) -> list[tuple[Slice, ...]]:
    """Cut the input into parts: large plain files at line ends, small files together."""
    limit = part_bytes or PART_BYTES
    parts: list[tuple[Slice, ...]] = []
    gathered: list[Slice] = []
    held = 0
    for path in files:
        size = path.stat().st_size
        divisible = kind(path) in ("lines", "text", "markdown") and not compressed(path)
        if size > limit and divisible:
            edges = [*range(0, size - limit // 2, limit), size]
            pieces = itertools.pairwise(edges)
            parts += [(Slice(path, start, stop),) for start, stop in pieces]
            continue
        if gathered and held + size > limit:
            parts.append(tuple(gathered))
            gathered, held = [], 0
        gathered.append(Slice(path))
        held += size
    if gathered:
        parts.append(tuple(gathered))
    return parts


def split_of(text: str, validation_fraction: float) -> tuple[int, Split]:
    """Return a document's 64-bit key and its split; both depend on its text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    key, place = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") / 2**64
    return key, "validation" if place < validation_fraction else "train"


def encode_documents(texts: Sequence[str], tokenizer: Tokenizer) -> list[NDArray[np.uint16]]:
    """Return each document's ids after a BOS id."""
    bos = np.array([tokenizer.special(END_OF_TEXT)], np.uint16)
    size = tokenizer.vocabulary_size
    whole = all(bytes([value]) in tokenizer.ranks for value in range(256))
    found = []
    for text in texts:
        clean = text.encode("utf-8", "replace").decode("utf-8")
        # special tokens are text like any other here; an array, as a list of ints is slow
        ids = tokenizer.encoding.encode_to_numpy(clean, disallowed_special=())
        if not whole:  # stand-ins for missing bytes lie above, see Tokenizer
            ids = ids[ids < size]
        found.append(np.concatenate([bos, ids], dtype=np.uint16, casting="unsafe"))
    return found


def finished(work: Work) -> Part | None:
    """Return a part that is there already, made from the same; None otherwise."""
    try:
        facts = json.loads(work.place("json").read_text(encoding="utf-8"))
        if facts["key"] != work.key():
            return None
        rows = np.load(work.place("npz"))
        columns = {name: rows[name] for name in _COLUMNS}
    except (OSError, ValueError, KeyError):
        return None
    return Part(work, facts, **columns)


_COLUMNS = ("key", "validation", "tokens", "size", "origin", "licence")


def make(work: Work) -> int:
    """Make a part and return its number; called in a process of its own.

    Raises:
        BadInputError: a file cannot be read, or too many lines are broken.
    """
    tokenizer = load_tokenizer(work.tokenizer)
    # more than are allowed, so that the list of them is worth reading; not endlessly many
    broken = Broken(work.max_broken + LISTED_BROKEN, quiet=True)
    counts = {"read": 0, "empty": 0, "licence": 0}
    names: dict[str, dict[str, int]] = {"origin": {}, "licence": {}}
    rows: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    found: list[Signature] = []
    key = work.key()
    with work.place("bin").open("wb") as stream:
        for texts in _batches(_documents(work, broken, counts, names, rows)):
            encoded = encode_documents(texts, tokenizer)
            lengths = [len(ids) for ids in encoded]
            joined = np.concatenate(encoded)
            rows["tokens"] += lengths
            stream.write(joined.astype(DTYPE).tobytes())
            if work.near:
                found.append(signatures(joined, np.array(lengths)))
    np.savez(
        work.place("npz"),
        key=np.array(rows["key"], np.uint64),
        validation=np.array(rows["validation"], bool),
        tokens=np.array(rows["tokens"], np.int64),
        size=np.array(rows["size"], np.int64),
        origin=np.array(rows["origin"], np.int32),
        licence=np.array(rows["licence"], np.int32),
    )
    if found:
        np.save(work.place("npy"), np.concatenate(found))
    facts = {
        "key": key,
        "counts": counts,
        "broken": broken.found,
        "origins": list(names["origin"]),
        "licences": list(names["licence"]),
    }
    building = work.place("json.tmp")
    building.write_text(json.dumps(facts), encoding="utf-8")
    os.replace(building, work.place("json"))
    return work.number


def _documents(
    work: Work,
    broken: Broken,
    counts: dict[str, int],
    names: dict[str, dict[str, int]],
    rows: dict[str, list[Any]],
) -> Iterator[str]:
    """Yield the texts that count and note a row for each."""
    allowed = {licence.lower() for licence in work.licences}
    for piece in work.slices:
        for document, _ in read_slice(piece, broken, work.text_column):
            counts["read"] += 1
            if not document.text:
                counts["empty"] += 1
                continue
            if allowed and document.licence.lower() not in allowed:
                counts["licence"] += 1
                continue
            key, split = split_of(document.text, work.validation_fraction)
            rows["key"].append(key)
            rows["validation"].append(split == "validation")
            rows["size"].append(len(document.text.encode("utf-8", "replace")))
            for column, value in (("origin", document.origin), ("licence", document.licence)):
                rows[column].append(names[column].setdefault(value, len(names[column])))
            yield document.text


def _batches(texts: Iterator[str], characters: int = 2_000_000) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for text in texts:
        batch.append(text)
        held += len(text)
        if held >= characters:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def stamp_of(settings: Any, tokenizer: Tokenizer) -> str:
    """Return a digest of the settings and the tokenizer that parts depend on."""
    ranks = hashlib.sha256()
    for token, rank in sorted(tokenizer.ranks.items()):
        ranks.update(rank.to_bytes(4, "big") + token)
    facts = [asdict(settings), tokenizer.spec.to_json(), ranks.hexdigest()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
