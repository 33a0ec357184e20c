"""Next-token prediction on shards: the batches, the loss and bits per byte.

Shapes: B batch, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint
from training.data.shards import TokenData
from training.fused import summed_cross_entropy
from training.model import Transformer
from training.precision import Precision, precision
from training.sampling import SamplingOptions, samples


@dataclass(frozen=True)
class TokenBatch:
    """A micro-batch; the target of each input is the token after it."""

    inputs_BT: Tensor
    targets_BT: Tensor


class WindowSource:
    """Shuffled windows: a permutation an epoch, drawn from (seed, epoch) alone.

    A batch may reach over the end of an epoch, so every window is read exactly once an epoch.
    """

    def __init__(self, data: TokenData, batch_size: int, seed: int) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self._epoch = self._index = 0
        self._shuffle()

    def _shuffle(self) -> None:
        generator = np.random.default_rng([self.seed, self._epoch])
        self._order = generator.permutation(len(self.data))

    def next(self) -> TokenBatch:
        """Return the next ``batch_size`` windows."""
        rows = []
        for _ in range(self.batch_size):
            if self._index == len(self._order):
                self._epoch, self._index = self._epoch + 1, 0
                self._shuffle()
            rows.append(self.data.window(int(self._order[self._index])))
            self._index += 1
        return _batch(rows)

    def skip(self) -> None:
        """Go past the next ``batch_size`` windows."""
        self._index += self.batch_size
        while self._index > len(self._order):
            self._epoch, self._index = self._epoch + 1, self._index - len(self._order)
            self._shuffle()

    def state(self) -> dict[str, Any]:
        """Return the position: epoch and index into its permutation."""
        return {"epoch": self._epoch, "index": self._index, "windows": len(self.data)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a position.

        Raises:
            ValueError: the data has changed since.
        """
        if state["windows"] != len(self.data):
            raise ValueError(
                f"The data has {len(self.data)} windows, the run began with {state['windows']}: "
                "resume with the same data and context_length"
            )
        self._epoch, self._index = int(state["epoch"]), int(state["index"])
        self._shuffle()

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self._epoch + self._index / len(self._order)


def _batch(rows: list[Any]) -> TokenBatch:
    ids = torch.from_numpy(np.stack(rows))
    return TokenBatch(ids[:, :-1], ids[:, 1:])


class PretrainTask:
    """Cross-entropy of the next token; evaluation in bits per byte.

    Args:
        held_out: validation windows.
        batch_size: sequences at once in evaluation.
        eval_tokens: targets to read there; 0: all.
        compile_model: compile the forward pass.
        prompts: beginnings that are completed at each evaluation.
        number: format of the matrix products.
    """

    def __init__(
        self,
        transformer: Transformer,
        tokenizer: Tokenizer,
        held_out: TokenData,
        batch_size: int,
        eval_tokens: int = 0,
        compile_model: bool = False,
        provenance: dict[str, Any] | None = None,
        prompts: Sequence[str] = (),
        sampling: SamplingOptions | None = None,
        number: Precision = "auto",
    ) -> None:
        self._precision: Precision = number
        self.transformer, self.tokenizer = transformer, tokenizer
        self.prompts, self.sampling = prompts, sampling or SamplingOptions(max_tokens=48)
        self.held_out, self.batch_size = held_out, batch_size
        windows = len(held_out)
        if eval_tokens:
            windows = max(1, min(windows, eval_tokens // held_out.length))
        self._windows = windows
        self._device = transformer.embed_tokens.weight.device
        self._bytes_V = token_bytes(tokenizer).to(self._device)
        self._prepare(compile_model)
        self.provenance = provenance or {}
        self.metrics: dict[str, float] = {}

    def _prepare(self, compile_model: bool) -> None:
        transformer = self.transformer
        self._forward: Callable[[Tensor], Tensor] = transformer
        self._hidden: Callable[[Tensor], Tensor] = lambda ids_BT: transformer.hidden(ids_BT)[0]
        if compile_model:
            self._forward = torch.compile(transformer)
            self._hidden = torch.compile(self._hidden)

    def _losses(self, batch: TokenBatch, reduction: str) -> tuple[Tensor, Tensor]:
        inputs = batch.inputs_BT.to(self._device, non_blocking=True)
        targets = batch.targets_BT.to(self._device, non_blocking=True)
        with precision(self._device, self._precision):
            logits = self._forward(inputs)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)
        return losses, targets

    def loss(self, batch: TokenBatch) -> tuple[Tensor, int]:
        """Return the summed loss in nats and the number of targets."""
        count = batch.targets_BT.numel()
        if self._device.type == "cpu" and self._precision != "bfloat16":
            hidden_BTD = self._hidden(batch.inputs_BT)
            weight_VD, targets_N = self.transformer.embed_tokens.weight, batch.targets_BT.flatten()
            return summed_cross_entropy(hidden_BTD.flatten(0, 1), weight_VD, targets_N), count
        return self._losses(batch, "sum")[0], count

    def tokens(self, batch: TokenBatch) -> int:
        """Return B x T."""
        return batch.inputs_BT.numel()

    def evaluate(self) -> dict[str, float]:
        """Return ``bits_per_byte`` and ``validation_loss`` (nats a token) on held-out text.

        Bits per byte do not depend on the tokenizer: the loss of a token is set against the
        bytes it stands for. Special tokens stand for none and are left out of both sums.
        """
        nats, counted = 0.0, 0
        size = 0
        for start in range(0, self._windows, self.batch_size):
            stop = min(start + self.batch_size, self._windows)
            batch = _batch([self.held_out.window(i) for i in range(start, stop)])
            losses, targets = self._losses(batch, "none")
            sizes = self._bytes_V[targets.flatten()]
            nats += float((losses.double() * (sizes > 0)).sum())
            counted += int((sizes > 0).sum())
            size += int(sizes.sum())
        self.metrics = {
            "bits_per_byte": nats / math.log(2) / max(size, 1),
            "validation_loss": nats / max(counted, 1),
        }
        return self.metrics

    def samples(self) -> dict[str, str]:
        """Complete the prompts."""
        return samples(self.checkpoint(), self.prompts, self.sampling)

    def checkpoint(self) -> Checkpoint:
        """Return the foundation model so far."""
        return Checkpoint(
            task="pretrained",
            transformer=self.transformer,
            tokenizer=self.tokenizer,
            extra={"metrics": self.metrics},
            provenance=self.provenance,
        )


def token_bytes(tokenizer: Tokenizer) -> Tensor:
    """Return the number of bytes [V] each id stands for; 0 for special tokens."""
    sizes = torch.zeros(tokenizer.vocabulary_size, dtype=torch.int64)
    for token, index in tokenizer.ranks.items():
        if index < tokenizer.vocabulary_size:
            sizes[index] = len(token)
    sizes[list(tokenizer.spec.special_tokens.values())] = 0
    return sizes
