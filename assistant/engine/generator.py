"""The decode loop: prefill what the cache does not hold, then one token at a time.

Keys and values live in one buffer a layer, allocated once for the whole context and bound as
input and output of the graph, so a step copies nothing. The tokens they belong to are
remembered: a prompt that begins with them pays only for the rest.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import Bundle
from assistant.chat import GenerationOptions, StopReason
from assistant.engine.runtime import open_session
from assistant.engine.sampling import Sampler
from assistant.errors import BadInputError, ModelError

# Prefill runs in pieces of this many tokens, so that a cancelled one stops soon.
PREFILL_TOKENS = 256


@dataclass
class _Step:
    """Buffers of one input length, bound once."""

    binding: Any
    ids: NDArray[np.int64]
    last_position: NDArray[np.int32]
    total: NDArray[np.int32]
    wanted: NDArray[np.int64]
    logits: NDArray[np.float32]
    values: list[Any]  # keeps the OrtValues of the arrays above alive


class TextGenerator:
    """Generates token ids from token ids. One generation at a time."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Open the bundle's graph and reserve the key/value cache.

        Raises:
            ModelError: the bundle is damaged or cannot be loaded.
        """
        import onnxruntime

        a = bundle.architecture
        self.context_length = bundle.context_length
        self.vocabulary_size = a.vocabulary_size
        self._session = open_session(bundle, threads)
        self._from_numpy = onnxruntime.OrtValue.ortvalue_from_numpy
        shape = (1, a.kv_heads, self.context_length, a.head_dim)
        # zeros are mapped lazily: memory is used only as far as the cache is filled
        self._cache = {
            f"{kind}.{layer}": self._from_numpy(np.zeros(shape, np.float32))
            for layer in range(a.layers)
            for kind in ("key", "value")
        }
        self._cached: list[int] = []
        self._steps: dict[tuple[int, int], _Step] = {}

    @property
    def cached_tokens(self) -> int:
        """Number of tokens whose keys and values the cache holds."""
        return len(self._cached)

    def _step(self, length: int, positions: int) -> _Step:
        """Return bound buffers for ``length`` new tokens; those of one token stay bound."""
        if (length, positions) in self._steps:
            return self._steps[length, positions]
        binding = self._session.io_binding()
        arrays = (
            np.zeros((1, length), np.int64),
            np.zeros(1, np.int32),
            np.zeros((), np.int32),
            np.zeros(positions, np.int64),
            np.zeros((1, positions, self.vocabulary_size), np.float32),
        )
        values = [self._from_numpy(array) for array in arrays]
        names = ("input_ids", "seqlens_k", "total_sequence_length", "logit_positions")
        for name, value in zip(names, values, strict=False):
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output("logits", values[4])
        for name, value in self._cache.items():
            binding.bind_ortvalue_input(f"past_{name}", value)
            binding.bind_ortvalue_output(f"present_{name}", value)
        step = _Step(binding, *arrays, values)
        if length in (1, PREFILL_TOKENS):
            self._steps[length, positions] = step
        return step

    def forward(
        self, ids: Sequence[int], wanted: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Append ``ids`` to the cache and return logits [R, V].

        Args:
            wanted: positions within ``ids`` whose logits to compute; the last by default. The
                result is a view that the next call overwrites.

        Raises:
            BadInputError: the tokens do not fit into the context.
            ModelError: onnxruntime failed.
        """
        start, length = len(self._cached), len(ids)
        if start + length > self.context_length:
            raise BadInputError(
                f"{start + length} tokens do not fit the model's {self.context_length}"
            )
        positions = [length - 1] if wanted is None else wanted
        step = self._step(length, len(positions))
        step.ids[0] = ids
        step.last_position[0] = start + length - 1
        step.total[...] = start + length
        step.wanted[:] = positions
        try:
            self._session.run_with_iobinding(step.binding)
        except Exception as error:  # onnxruntime has no common base class
            self._cached.clear()
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The model failed ({reason})", "Try again") from error
        self._cached.extend(ids)
        return step.logits[0]

    def rewind(self, ids: Sequence[int]) -> int:
        """Keep the part of the cache that is a prefix of ``ids``; returns its length."""
        common = 0
        for old, new in zip(self._cached, ids, strict=False):
            if old != new:
                break
            common += 1
        del self._cached[common:]
        return common

    def generate(
        self,
        prompt: Sequence[int],
        options: GenerationOptions,
        stop_tokens: frozenset[int],
        cancel: Event,
    ) -> Generator[int, None, StopReason]:
        """Yield token ids and return why it stopped; stop tokens are not yielded.

        Raises:
            BadInputError: empty prompt, or no room for a single token after it.
            ModelError: the model failed.
        """
        if not prompt:
            raise BadInputError("The prompt is empty", "Write something first")
        if len(prompt) >= self.context_length:
            raise BadInputError(
                f"The prompt has {len(prompt)} tokens, the model reads {self.context_length} "
                "including its answer",
                "Shorten it or start a new conversation",
            )
        # the last token is always computed again: its logits are what is wanted
        self.rewind(prompt[:-1])
        logits = np.empty((0, self.vocabulary_size), np.float32)
        while self.cached_tokens < len(prompt):
            if cancel.is_set():
                return "stopped"
            done = self.cached_tokens
            logits = self.forward(prompt[done : done + PREFILL_TOKENS])
        sampler = Sampler(options)
        answer: list[int] = []
        while True:
            if cancel.is_set():
                return "stopped"
            token = sampler.choose(logits[0], answer)
            if token in stop_tokens:
                return "end"
            if len(answer) >= options.max_tokens:
                return "length"
            answer.append(token)
            yield token
            if self.cached_tokens >= self.context_length:
                return "context"
            if cancel.is_set():
                return "stopped"
            logits = self.forward([token])
