"""llama.cpp behind the same few calls as our generator, for comparing them."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# llama.cpp's numbers of the formats, https://github.com/ggml-org/llama.cpp, enum llama_ftype
FORMATS = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7}


@functools.cache
def library() -> Any:
    """Return llama_cpp, silenced, with OpenMP as it is by default.

    ``training`` makes OpenMP's threads sleep while they wait; llama.cpp decodes at half its
    speed with that, and with torch's threads beside its own.
    """
    assert "torch" not in sys.modules
    os.environ.pop("OMP_WAIT_POLICY", None)
    import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    llama_cpp.frontdesk_log_callback = silent  # C holds no reference
    llama_cpp.llama_backend_init()
    return llama_cpp


def quantized(source: Path, name: str, folder: Path) -> Path:
    """Write the GGUF ``source`` in another format with llama.cpp's own quantizer; return it."""
    llama_cpp = library()
    target = folder / f"{name}.gguf"
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = FORMATS[name]
    settings.allow_requantize = True
    status = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(settings)
    )
    if status:
        raise RuntimeError(f"llama.cpp could not quantize {source} to {name}")
    return target


class Peer:
    """One model with one sequence."""

    def __init__(self, path: Path, context_length: int, threads: int) -> None:
        llama_cpp = self._c = library()
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context.n_batch = context_length
        context.n_threads = context.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        self._memory = llama_cpp.llama_get_memory(self._context)
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocabulary)

    def keep(self, tokens: Sequence[int]) -> None:
        """Cut the cache to the first ``len(tokens)`` positions; they must be these tokens."""
        self._c.llama_memory_seq_rm(self._memory, 0, len(tokens), -1)

    def forward(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append tokens to the cache; return the last one's logits [V]."""
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        batch = self._c.llama_batch_get_one(array, len(tokens))
        if self._c.llama_decode(self._context, batch):
            raise RuntimeError("llama.cpp failed")
        logits = self._c.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(logits, (self.vocabulary_size,))

    def close(self) -> None:
        """Free the model."""
        self._c.llama_free(self._context)
        self._c.llama_model_free(self._model)
