"""Settings of classification fine-tuning; presets in training/presets/classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.finetuning.augmentation import Augmentation
from training.finetuning.labelled_text import TextData
from training.finetuning.ngrams import NGramConfig
from training.loop import LoopConfig
from training.model import Pooling
from training.precision import Precision
from training.pretraining.config import ModelConfig


@dataclass(frozen=True)
class DecisionConfig:
    """How a probability becomes a verdict."""

    false_positive_budget: float = 0.005
    """Share of good validation texts that may be flagged; sets the threshold."""
    lowest_threshold: float = 0.5
    """The threshold is never below this."""
    unsure_recall: float = 0.99
    """"Unsure" begins where this share of the positive validation texts lies above."""
    unsure_lowest: float = 0.2
    """"Unsure" never begins below this."""
    as_shipped: bool = False
    """Decide and measure by the exported 8-bit graph, which is what ships and on a CPU several
    times as fast, instead of the checkpoint."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of classification fine-tuning."""

    stage: ClassVar[str] = "classifier"
    foundation: str = ""
    """Checkpoint to start from; empty: fresh weights of the shape under model."""
    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(
            layers=4, width=256, heads=4, kv_heads=4, head_dim=64, feed_forward=704
        )
    )
    """Shape of fresh weights; ignored with a foundation."""
    tokenizer: str = ""
    """Folder with a tokenizer for fresh weights; empty: train one on the training texts."""
    vocabulary_size: int = 8192
    """Ids of a tokenizer that is trained here."""
    data: TextData = field(default_factory=TextData)
    """Which texts."""
    weights: dict[str, float] = field(default_factory=dict)
    """Passes over a source's texts in one epoch; 1 where none is given."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Changes to training texts."""
    train_layers: int = -1
    """Blocks at the end that are trained; -1: all of them and the embedding, 0: the head alone."""
    pooling: Pooling = "last"
    """What the head reads of a decoder: its last real token, or the mean over all. An encoder is
    always read by the mean."""
    max_tokens: int = 256
    """Tokens read at once; a longer text is cut to head and tail in training and read in several
    windows afterwards."""
    windows: int = 1
    """Windows of a long text read together in training, its head and tail and others drawn at
    random; the most positive counts most, as it does afterwards. 1: head and tail alone."""
    batch_size: int = 32
    """Texts in a micro-batch; a step has loop.accumulate of them."""
    ngrams: NGramConfig = field(default_factory=NGramConfig)
    """A margin of n-grams beside the transformer's, fitted after it."""
    freeze_words: bool = False
    """Leave an encoder's word embeddings as they are."""
    label_smoothing: float = 0.0
    """Probability moved from the label to the others: corpora have wrong labels."""
    decision: DecisionConfig = field(default_factory=DecisionConfig)
    """Threshold and "unsure"."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""
    eval_texts: int = 1000
    """Validation texts read at each evaluation during training; 0: all."""
    baselines: bool = True
    """Report what simple methods reach on the same split."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Precision = "auto"
    """Of the matrix products in training. auto: bfloat16 on a GPU, float32 on CPU. bfloat16 is
    twice as fast on a CPU with AVX512-BF16 or AMX and far slower on others."""
    seed: int = 1
    """Seed of fresh weights, of the order of the data and of the augmentation."""
