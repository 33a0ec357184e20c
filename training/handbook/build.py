"""A handbook folder: everything a bundle needs to look entries up.

```
handbook.json       file names, threshold, margin, provenance; in a bundle: bundle.json's "handbook"
handbook.jsonl      the entries
handbook.npy        a vector for each phrasing, float16 [P, E]
handbook.onnx       the encoder, its weights beside it
handbook.tiktoken   the encoder's WordPiece vocabulary
```
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import BUNDLE_FILE, file_sha256
from assistant.conversation import HandbookEntry
from assistant.errors import AssistantError
from assistant.handbook.encoder import OnnxTextEncoder, TextEncoder
from assistant.handbook.entries import phrasings, write_entries
from assistant.handbook.search import Handbook, HandbookSettings
from assistant.tokenizer import write_ranks
from training.checkpoint import Checkpoint
from training.encoder import Encoder
from training.exporting.quantization import Quantization
from training.handbook.graph import build_text_encoder_graph

HANDBOOK_FILE = "handbook.json"
FILES = {
    "entries": "handbook.jsonl",
    "vectors": "handbook.npy",
    "graph": "handbook.onnx",
}
VOCABULARY = "handbook.tiktoken"
MAX_TOKENS = 96
"""Tokens of a text the encoder reads; the longest chain of questions here has about as many."""


def build_handbook(
    checkpoint: Checkpoint,
    entries: Sequence[HandbookEntry],
    directory: Path,
    settings: HandbookSettings,
    provenance: dict[str, Any] | None = None,
    quantization: Quantization = "int8",
) -> Handbook:
    """Write a handbook folder and open it.

    Texts that the folder held before, with the same encoder, are not encoded again.

    Raises:
        ValueError: no entries, or the checkpoint holds no encoder.
    """
    if not entries:
        raise ValueError("No entry for the handbook: no training dialogue without notes")
    if not isinstance(checkpoint.transformer, Encoder):
        raise ValueError("a handbook needs a sentence encoder; `training import --model minilm`")
    directory.mkdir(parents=True, exist_ok=True)
    places = {name: directory / file for name, file in FILES.items()}
    before = _graph_hashes(directory), _vectors(directory)
    data = build_text_encoder_graph(
        checkpoint.transformer, quantization, places["graph"], MAX_TOKENS
    )
    write_entries(places["entries"], entries)
    tokenizer = checkpoint.tokenizer
    write_ranks(directory / VOCABULARY, tokenizer.ranks)
    model = OnnxTextEncoder(places["graph"], tokenizer, MAX_TOKENS)
    known = before[1] if _graph_hashes(directory) == before[0] else {}
    _write_vectors(places["vectors"], entries, model, known)
    facts: dict[str, Any] = {
        "files": FILES,
        "data": [VOCABULARY, *(file.name for file in data)],
        "tokenizer": replace(tokenizer.spec, file=VOCABULARY).to_json(),
        "threshold": settings.threshold,
        "margin": settings.margin,
        "entries": settings.entries,
        "max_tokens": MAX_TOKENS,
        "entry_count": len(entries),
        "provenance": provenance or {},
    }
    return _finished(directory, facts)


def renew_handbook(
    source: Path,
    entries: Sequence[HandbookEntry],
    directory: Path,
    provenance: dict[str, Any] | None = None,
) -> Handbook:
    """Write a handbook folder with other entries and the encoder of one there is, byte for byte.

    Args:
        source: a handbook folder, or a chat bundle with a handbook; its settings, its encoder and
            its judge are kept, and so are the vectors of phrasings it knows.

    Raises:
        ValueError: no entries, no handbook in ``source``, or ``source`` is ``directory``.
        ModelError: it is damaged.
    """
    if not entries:
        raise ValueError("No entry for the handbook: no training dialogue without notes")
    if source.resolve() == directory.resolve():
        raise ValueError(f"{directory} is both the handbook to renew and where to write; give -o")
    facts = read_facts(source)
    before = Handbook.load(source, facts)
    directory.mkdir(parents=True, exist_ok=True)
    rewritten = {facts["files"]["entries"], facts["files"]["vectors"]}
    for name in {*facts["files"].values(), *facts["data"]} - rewritten:
        shutil.copyfile(source / name, directory / name)
    write_entries(directory / facts["files"]["entries"], entries)
    texts = [text for entry in before.entries for text in phrasings(entry)]
    known = dict(zip(texts, before.vectors_PE, strict=True))
    _write_vectors(directory / facts["files"]["vectors"], entries, before.encoder, known)
    told = facts.get("provenance", {})
    kept = {name: told[name] for name in ("encoder", "judge") if name in told}
    changed = {"entry_count": len(entries), "provenance": kept | (provenance or {})}
    return _finished(directory, facts | changed)


def _write_vectors(
    path: Path,
    entries: Sequence[HandbookEntry],
    encoder: TextEncoder,
    known: dict[str, NDArray[np.float32]],
) -> None:
    texts = [text for entry in entries for text in phrasings(entry)]
    vectors = [known[text] if text in known else encoder.encode(text) for text in texts]
    np.save(path, np.stack(vectors).astype(np.float16), allow_pickle=False)


def _finished(directory: Path, facts: dict[str, Any]) -> Handbook:
    text = json.dumps(facts, indent=1) + "\n"
    (directory / HANDBOOK_FILE).write_text(text, encoding="utf-8")
    return Handbook.load(directory, facts)


def _graph_hashes(directory: Path) -> dict[str, str]:
    paths = sorted(directory.glob(f"{FILES['graph']}*"))
    return {path.name: file_sha256(path) for path in paths}


def _vectors(directory: Path) -> dict[str, NDArray[np.float32]]:
    """Return the vectors a folder holds, by text; none when it holds no sound handbook."""
    try:
        handbook = open_handbook(directory)
    except (ValueError, AssistantError):
        return {}
    texts = [text for entry in handbook.entries for text in phrasings(entry)]
    return dict(zip(texts, handbook.vectors_PE, strict=True))


def read_facts(directory: Path) -> dict[str, Any]:
    """Read what a handbook folder or a chat bundle says of its handbook; raises ValueError."""
    bundle = directory / BUNDLE_FILE
    path = bundle if bundle.is_file() else directory / HANDBOOK_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts = facts["handbook"] if path == bundle else facts
        files = [*facts["files"].values(), *facts["data"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{directory} holds no handbook ({error!r}); `training handbook build` makes one"
        ) from error
    for name in files:
        if Path(name).name != name or not (directory / name).is_file():
            raise ValueError(f"{path} names {name!r}, which is not in the folder")
    return facts


def has_handbook(directory: Path) -> bool:
    """Whether a folder is a handbook or a bundle, not a checkpoint."""
    return (directory / HANDBOOK_FILE).is_file() or (directory / BUNDLE_FILE).is_file()


def open_handbook(directory: Path) -> Handbook:
    """Open a handbook folder; raises ValueError or ModelError."""
    return Handbook.load(directory, read_facts(directory))
