"""Settings of the pipeline; presets in training/presets/pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.data.prepare import PrepareConfig
from training.exporting.quantization import Quantization
from training.finetuning.chat import ChatConfig
from training.finetuning.classifier_config import ClassifierConfig
from training.pretraining.config import PretrainConfig
from training.tokenizer.command import TokenizerConfig


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of every stage; what one stage hands to the next is filled in."""

    stage: ClassVar[str] = "pipeline"
    pretrain: PretrainConfig
    """The foundation model."""
    chat: ChatConfig
    """Instruction fine-tuning."""
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer."""
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    """Data preparation."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """Classification fine-tuning."""
    quantization: Quantization = "int8"
    """Of the exported weights."""
    question: str = "Hello"
    """What the exported chat model is asked at the end."""
    answer_tokens: int = 64
    """Longest answer to it."""
    evaluated_answers: int = 20
    """Test questions that are answered and compared with their references."""
