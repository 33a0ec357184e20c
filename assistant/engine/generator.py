"""The decode loop: prefill what the cache does not hold, then one token at a time.

Keys and values live in one buffer a layer, allocated once for the whole context and bound as
input and output of the graph, so a step copies nothing. The tokens they belong to are
remembered: a prompt that begins with them pays only for the rest. A conversation that another
one displaces is put aside and comes back when it is gone on with. A step may check guessed
tokens along with the last one; what comes out is the same, only sooner.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import Bundle
from assistant.chat import GenerationOptions, StopReason
from assistant.engine.prefix_cache import DEFAULT_LIMIT_BYTES, PrefixCache, common_prefix
from assistant.engine.runtime import not_enough_memory, open_session
from assistant.engine.sampling import Sampler
from assistant.engine.speculation import LONGEST_GUESS, PromptLookup
from assistant.engine.stored_prefix import store_prefix, stored_prefix
from assistant.errors import BadInputError, ModelError

# Prefill runs in pieces of this many tokens, so that a cancelled one stops soon.
PREFILL_TOKENS = 256
# Putting fewer tokens aside, or bringing them back, gains nothing one could feel.
WORTH_KEEPING = 32
# Tokens that are ruled out one after the other; whoever still wants another one gets it.
OTHER_CHOICES = 50


class Bonus(Protocol):
    """Makes tokens of an answer more likely."""

    def of(self, answer: Sequence[int]) -> dict[int, float]:
        """Return tokens that may follow, and what is added to their logits."""


class Guard(Protocol):
    """Rules tokens of an answer out."""

    def allows(self, token: int) -> bool:
        """Whether the answer may go on with a token."""

    def said(self, token: int) -> None:
        """Go past a token that was chosen."""


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

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        prefix_cache_bytes: int = DEFAULT_LIMIT_BYTES,
        speculate: bool = True,
    ) -> None:
        """Open the bundle's graph and reserve the key/value cache.

        Args:
            threads: to compute with; None takes the cores there are.
            prefix_cache_bytes: memory for conversations put aside.
            speculate: check guessed tokens together; see ``speculation``.

        Raises:
            ModelError: the bundle is damaged or cannot be loaded.
        """
        import onnxruntime

        a = bundle.architecture
        self.context_length = bundle.context_length
        self.vocabulary_size = a.vocabulary_size
        self.speculate = speculate
        self._session = open_session(bundle, threads)
        self._from_numpy = onnxruntime.OrtValue.ortvalue_from_numpy
        shape = (1, a.kv_heads, self.context_length, a.head_dim)
        names = [f"{kind}.{layer}" for layer in range(a.layers) for kind in ("key", "value")]
        try:
            # zeros are mapped lazily: memory is used only as far as the cache is filled
            self._buffers = [np.zeros(shape, np.float32) for _ in names]
        except MemoryError as error:
            raise not_enough_memory(bundle) from error
        # an OrtValue on the CPU shares the array's memory
        self._cache = {
            name: self._from_numpy(buffer)
            for name, buffer in zip(names, self._buffers, strict=True)
        }
        self._cached: list[int] = []
        self._aside = PrefixCache(prefix_cache_bytes)
        if (stored := stored_prefix(bundle)) is not None:
            self._aside.add(stored)
        self._steps: dict[tuple[int, int], _Step] = {}

    @property
    def cached_tokens(self) -> int:
        """Number of tokens whose keys and values the cache holds."""
        return len(self._cached)

    def _step(self, length: int, positions: int) -> _Step:
        """Return bound buffers for ``length`` new tokens; those of the usual steps stay bound."""
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
        if length <= 1 + LONGEST_GUESS or length == PREFILL_TOKENS:
            self._steps[length, positions] = step
        return step

    def store_prefix(self, bundle: Bundle) -> dict[str, Any]:
        """Write what the cache holds into a bundle; returns what to record there."""
        return store_prefix(bundle, self._cached, self._buffers)

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
        common = common_prefix(self._cached, ids)
        del self._cached[common:]
        return common

    def recall(self, ids: Sequence[int]) -> int:
        """Make the cache hold as long a prefix of ``ids`` as is known; returns its length.

        What the cache loses by that is put aside.
        """
        common = common_prefix(self._cached, ids)
        count, snapshot = self._aside.longest(ids)
        if len(self._cached) - common >= WORTH_KEEPING:
            self._aside.keep(self._cached, self._buffers)
        if snapshot is not None and count >= common + WORTH_KEEPING:
            self._aside.restore(snapshot, count, self._buffers)
            self._cached = list(ids[:count])
        return self.rewind(ids)

    def read(self, prompt: Sequence[int], cancel: Event) -> NDArray[np.float32] | None:
        """Bring the cache to hold ``prompt``; return its last token's logits [1, V].

        None when cancelled: then the cache holds as much as was read.
        """
        # the last token is always computed again: its logits are what is wanted
        self.recall(prompt[:-1])
        logits = np.empty((0, self.vocabulary_size), np.float32)
        while self.cached_tokens < len(prompt):
            if cancel.is_set():
                return None
            done = self.cached_tokens
            logits = self.forward(prompt[done : done + PREFILL_TOKENS])
        return logits

    def generate(
        self,
        prompt: Sequence[int],
        options: GenerationOptions,
        stop_tokens: frozenset[int],
        cancel: Event,
        guard: Guard | None = None,
        bonus: Bonus | None = None,
    ) -> Generator[int, None, StopReason]:
        """Yield token ids and return why it stopped; stop tokens are not yielded.

        Args:
            guard: rules tokens out as they come.
            bonus: makes tokens more likely.

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
        logits_RV = self.read(prompt, cancel)
        if logits_RV is None:
            return "stopped"
        sampler, lookup = Sampler(options), PromptLookup(prompt)
        answer: list[int] = []
        guess: list[int] = []
        while True:
            # Row i of the logits follows the last token and i guessed ones.
            for place in range(1 + len(guess)):
                if cancel.is_set():
                    return "stopped"
                token = self._choose(sampler, logits_RV[place], answer, guard, bonus)
                if token in stop_tokens:
                    return "end"
                if len(answer) >= options.max_tokens:
                    return "length"
                answer.append(token)
                if guard is not None:
                    guard.said(token)
                yield token
                if place == len(guess) or token != guess[place]:
                    break
            lookup.extend(answer[-1 - place :])
            # guessed tokens that were not said
            del self._cached[len(self._cached) - (len(guess) - place) :]
            room = self.context_length - self.cached_tokens
            if room < 1:
                return "context"
            if cancel.is_set():
                return "stopped"
            left = min(room, options.max_tokens - len(answer)) - 1
            guess = lookup.guess(left) if self.speculate else []
            logits_RV = self.forward([token, *guess], range(1 + len(guess)))

    def _choose(
        self,
        sampler: Sampler,
        logits_V: NDArray[np.float32],
        answer: Sequence[int],
        guard: Guard | None,
        bonus: Bonus | None,
    ) -> int:
        try:
            raised = bonus.of(answer) if bonus is not None else None
            token = sampler.choose(logits_V, answer, raised)
            for _ in range(OTHER_CHOICES):
                if guard is None or guard.allows(token):
                    break
                logits_V = logits_V.copy()
                logits_V[token] = np.finfo(np.float32).min
                token = sampler.choose(logits_V, answer, raised)
        except ModelError:
            self._cached.clear()  # it may hold what is no number
            raise
        return token
