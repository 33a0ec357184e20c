"""Settings of pretraining; presets in training/presets/pretrain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from assistant.bundle import Architecture
from training.loop import LoopConfig
from training.precision import Precision


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the decoder; the vocabulary comes from the data's tokenizer."""

    layers: int
    """Blocks."""
    width: int
    """D, the width of the residual stream."""
    heads: int
    """H, query heads."""
    kv_heads: int
    """K, key and value heads; divides heads."""
    head_dim: int
    """E, width of a head."""
    feed_forward: int
    """Width of the SwiGLU layer."""
    rope_theta: float = 10_000.0
    """Base of the rotary positions' wavelengths."""
    norm_epsilon: float = 1e-5
    """Added to the mean square before the root."""
    qk_norm: bool = True
    """Normalise queries and keys, which keeps attention stable at high learning rates."""

    def architecture(self, vocabulary_size: int) -> Architecture:
        """Return the shape with a vocabulary.

        Raises:
            ValueError: kv_heads does not divide heads, or head_dim is odd.
        """
        if self.heads % self.kv_heads:
            raise ValueError(f"model.kv_heads {self.kv_heads} must divide heads {self.heads}")
        if self.head_dim % 2:
            raise ValueError(f"model.head_dim {self.head_dim} must be even: positions rotate pairs")
        return Architecture(**self.__dict__, vocabulary_size=vocabulary_size)


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of pretraining."""

    stage: ClassVar[str] = "pretrain"
    model: ModelConfig
    """Shape of the model."""
    data: Path = Path("runs/data")
    """Folder that training prepare wrote."""
    context_length: int = 256
    """T, tokens in a training sequence and the longest text the model reads."""
    batch_size: int = 32
    """Sequences in a micro-batch; a step has loop.accumulate of them."""
    fit: bool = True
    """Halve micro-batches that do not fit the memory and accumulate twice as many."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Precision = "auto"
    """Of the matrix products. auto: bfloat16 on a GPU, float32 on CPU. bfloat16 is faster on a CPU
    with AVX512-BF16 or AMX and far slower on others."""
    compile: bool = True
    """Compile the model on a GPU."""
    compile_on_cpu: bool = False
    """Compile it on a CPU too: it takes a C++ compiler and a minute."""
    eval_tokens: int = 200_000
    """Held-out tokens read at an evaluation; 0: all."""
    seed: int = 1
    """Seed of the initial weights and of the order of the data."""
    sample_prompts: tuple[str, ...] = ("The ", "How do I ", "To reset your password")
    """Beginnings that are completed at each evaluation."""
    sample_tokens: int = 48
    """Tokens of each completion."""
