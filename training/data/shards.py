"""Shards: token ids as little-endian uint16 in flat files, and the manifest that describes them.

```
data/
  manifest.json                 tokenizer, counts, sha256 of every shard, sources
  train-00000.bin, ...          BOS ids... BOS ids... : documents one after the other
  validation-00000.bin, ...
  spec.json, tokenizer.tiktoken the tokenizer, see training/tokenizer
```
The manifest is written last: a folder without one is not prepared.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import file_sha256

MANIFEST, FORMAT_VERSION = "manifest.json", 1
DTYPE = np.dtype("<u2")
LARGEST_VOCABULARY = 2**16
Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass
class ShardWriter:
    """Appends documents to shards of one split, a new file every ``shard_tokens``."""

    directory: Path
    split: Split
    shard_tokens: int
    shards: list[dict[str, Any]] = field(default_factory=list)
    documents: int = 0
    tokens: int = 0
    _buffer: list[NDArray[np.uint16]] = field(default_factory=list)
    _buffered: int = 0

    def add(self, ids: NDArray[np.uint16], documents: int = 1) -> None:
        """Append documents, one after the other, each of which begins with its BOS id."""
        self.documents += documents
        self.tokens += len(ids)
        self._buffer.append(ids)
        self._buffered += len(ids)
        while self._buffered >= self.shard_tokens:
            self._flush(self.shard_tokens)

    def close(self) -> None:
        """Write what is left."""
        if self._buffered:
            self._flush(self._buffered)

    def _flush(self, count: int) -> None:
        joined = np.concatenate(self._buffer)
        head, rest = joined[:count].astype(DTYPE), joined[count:]
        name = f"{self.split}-{len(self.shards):05d}.bin"
        data = head.tobytes()
        (self.directory / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        self.shards.append({"file": name, "tokens": len(head), "sha256": digest})
        self._buffer, self._buffered = [rest], len(rest)


class TokenData:
    """Memory-mapped shards of one split, cut into windows.

    Args:
        directory: what ``training prepare`` wrote.
        split: ``train`` or ``validation``.
        length: T, the inputs of a window; it holds T + 1 ids, targets being one later.

    Raises:
        ValueError: there is no manifest, a shard is missing or has another size, or the split
            has not one window.
    """

    def __init__(self, directory: Path, split: Split, length: int) -> None:
        self.manifest = read_manifest(directory)
        self.length = length
        self.shards: list[NDArray[np.uint16]] = []
        for shard in self.manifest["splits"][split]["shards"]:
            path = Path(directory) / shard["file"]
            size = path.stat().st_size if path.exists() else -1
            if size != shard["tokens"] * DTYPE.itemsize:
                what = "is missing" if size < 0 else f"holds {size} bytes"
                raise ValueError(
                    f"The shard {path} {what}, expected {shard['tokens'] * DTYPE.itemsize}: "
                    "prepare the data again"
                )
            self.shards.append(np.memmap(path, dtype=DTYPE, mode="r"))
        counts = [max(len(shard) - 1, 0) // length for shard in self.shards]
        self._ends = np.cumsum(counts)
        if len(self) == 0:
            raise ValueError(
                f"The {split} split in {directory} is shorter than one window of {length + 1} "
                "tokens: prepare more text, or raise validation_fraction there"
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def window(self, index: int) -> NDArray[np.int64]:
        """Return the T + 1 ids of a window; the last one is the next window's first."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        start = (index - (int(self._ends[shard - 1]) if shard else 0)) * self.length
        return np.asarray(self.shards[shard][start : start + self.length + 1], dtype=np.int64)


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read manifest.json.

    Raises:
        ValueError: it is missing, damaged or newer than this program.
    """
    path = Path(directory) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["format_version"])
    except FileNotFoundError as error:
        raise ValueError(
            f"{directory} holds no prepared data: {MANIFEST} is missing; see training prepare"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format {version}; this program reads {FORMAT_VERSION}")
    return dict(manifest)


def verify(directory: Path) -> dict[str, str]:
    """Compare every shard with its sha256 and return the hashes by file name.

    Raises:
        ValueError: a shard differs, is missing or cannot be read.
    """
    hashes = {}
    for split in read_manifest(directory)["splits"].values():
        for shard in split["shards"]:
            path = Path(directory) / shard["file"]
            try:
                sound = path.exists() and file_sha256(path) == shard["sha256"]
            except OSError as error:
                raise ValueError(
                    f"The shard {path} cannot be read ({error.strerror}): check its permissions"
                ) from error
            if not sound:
                raise ValueError(f"The shard {path} is missing or damaged: prepare the data again")
            hashes[shard["file"]] = shard["sha256"]
    return hashes
