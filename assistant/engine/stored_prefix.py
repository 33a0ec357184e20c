"""The keys and values of the system prompt, stored with a bundle.

Every conversation begins with the same system prompt. What the model computes from it can be
computed once, at export: then the first question after a start pays for itself alone.

The file is an array [L, 2, K, T, E] in float16 (L layers, keys and values, K key/value heads, T
tokens, E head dimension); bundle.json names it, its tokens, and the hashes of the files that it
was computed from. Of another graph or other weights it is worthless, so it is not used then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import Bundle
from assistant.engine.prefix_cache import Snapshot

PREFIX_FILE = "prefix.npy"


def model_hashes(bundle: Bundle) -> dict[str, str]:
    """Return the recorded hashes of the graph and its data files."""
    graph = str(bundle.graph["file"])
    return {
        name: digest
        for name, digest in bundle.files.items()
        if name == graph or name.startswith(f"{graph}.")
    }


def store_prefix(
    bundle: Bundle, tokens: Sequence[int], buffers: Iterable[NDArray[np.float32]]
) -> dict[str, Any]:
    """Write the first keys and values of ``buffers`` [1, K, C, E] and return what to record.

    Args:
        tokens: what they were computed from.
        buffers: of each layer, keys before values.
    """
    arrays = [buffer[0, :, : len(tokens)] for buffer in buffers]
    shape = (bundle.architecture.layers, 2, *arrays[0].shape)
    stored = np.stack(arrays).reshape(shape).astype(np.float16)
    np.save(bundle.directory / PREFIX_FILE, stored, allow_pickle=False)
    return {"file": PREFIX_FILE, "tokens": list(tokens), "computed_from": model_hashes(bundle)}


def stored_prefix(bundle: Bundle) -> Snapshot | None:
    """Return what a bundle stores; None when it stores nothing that fits its own weights."""
    prefix = bundle.prefix
    if not prefix or prefix["computed_from"] != model_hashes(bundle):
        return None
    tokens = tuple(prefix["tokens"])
    a = bundle.architecture
    try:
        stored = np.load(bundle.directory / prefix["file"], allow_pickle=False)
    except (OSError, EOFError, ValueError):  # damage: the hashes tell, where they are checked
        return None
    if stored.shape != (a.layers, 2, a.kv_heads, len(tokens), a.head_dim):
        return None
    arrays = stored.astype(np.float32).reshape(-1, *stored.shape[2:])
    return Snapshot(tokens, tuple(arrays)) if np.isfinite(arrays).all() else None
