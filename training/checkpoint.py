"""Checkpoints: a folder with safetensors weights, a tokenizer and a config. Never a pickle.

```
checkpoint/
  config.json          task, architecture, context length, tokenizer, labels, metrics, provenance
  model.safetensors    weights under Hugging Face's Llama names; with adapters that are not
                       merged, those of NAME under NAME.base, NAME.lora_a and NAME.lora_b
  tokenizer.tiktoken   ranks
  state.safetensors, state.json   only in a running job: optimizer, schedule, data position
  sharded/             with FSDP the model's and the optimizer's shards, see training/state.py
```
A checkpoint is written beside its place and renamed: a crash while writing leaves the previous
one loadable.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from assistant.bundle import Architecture
from assistant.tokenizer import Tokenizer, TokenizerSpec, write_ranks
from training.encoder import Encoder
from training.finetuning.lora import LoraConfig, add_lora, lora_config
from training.model import SequenceClassifier, Transformer
from training.ngrams import NGramScore
from training.parallel import meet, whole
from training.world import primary

CONFIG, WEIGHTS = "config.json", "model.safetensors"
STATE_TENSORS, STATE = "state.safetensors", "state.json"
CheckpointTask = Literal["pretrained", "chat", "classification"]


@dataclass
class Checkpoint:
    """A model, its tokenizer and what is known of them."""

    task: CheckpointTask
    transformer: Transformer | Encoder
    tokenizer: Tokenizer
    classifier: SequenceClassifier | None = None
    labels: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """Task facts that export needs: threshold, calibration, windows, system prompt, metrics."""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def decoder(self) -> Transformer:
        """The transformer of a language model; raises ValueError when it is an encoder."""
        if isinstance(self.transformer, Encoder):
            raise ValueError("an encoder reads texts but cannot write any; use a language model")
        return self.transformer


def _weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    tensors = {f"model.{k}": v for k, v in checkpoint.transformer.state_dict().items()}
    if checkpoint.classifier is not None:
        tensors |= {f"score.{k}": v for k, v in checkpoint.classifier.score.state_dict().items()}
        ngrams = checkpoint.classifier.ngrams
        if ngrams is not None:
            tensors |= {f"ngrams.{k}": v for k, v in ngrams.state_dict().items()}
    # every process must ask for the whole of a sharded tensor, one after the other
    return {k: whole(v.detach()).float().cpu().contiguous() for k, v in tensors.items()}


def save_checkpoint(
    directory: Path,
    checkpoint: Checkpoint,
    state_tensors: dict[str, Tensor] | None = None,
    state: dict[str, Any] | None = None,
    shards: Callable[[Path], None] | None = None,
) -> None:
    """Write a checkpoint atomically, replacing the one at ``directory``.

    Where several processes train, all of them call this and the first one writes.

    Args:
        state_tensors: optimizer state and the like, for a run that resumes.
        state: JSON-ready counters and data positions, likewise.
        shards: called by every process with the folder that is being written.

    Raises:
        ValueError: it can't be written, the disk being full for example; the one that was at
            ``directory`` is still there.
    """
    weights = _weights(checkpoint)
    meet()  # nobody reads the old one any more
    building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    if shards is not None:
        building = directory.with_name(f".{directory.name}.shared.tmp")  # one for all processes
        if primary():
            shutil.rmtree(building, ignore_errors=True)
        meet()
        shards(building)
        meet()
    if primary():
        try:
            _write(directory, building, checkpoint, weights, state_tensors, state)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(building, ignore_errors=True)  # make room again
            kept = "; the one saved before is still there" if recovered(directory).exists() else ""
            raise ValueError(f"{directory} could not be written: {error}{kept}") from error
    meet()


def _write(
    directory: Path,
    building: Path,
    checkpoint: Checkpoint,
    weights: dict[str, Tensor],
    state_tensors: dict[str, Tensor] | None,
    state: dict[str, Any] | None,
) -> None:
    transformer = checkpoint.transformer
    config: dict[str, Any] = {
        "task": checkpoint.task,
        "architecture": transformer.architecture.__dict__,
        "context_length": transformer.context_length,
        "tokenizer": checkpoint.tokenizer.spec.to_json(),
        "labels": checkpoint.labels,
        "extra": checkpoint.extra,
        "provenance": checkpoint.provenance,
    }
    if checkpoint.classifier is not None:
        config["pooling"] = checkpoint.classifier.pooling
    lora = lora_config(transformer)
    if lora is not None:
        config["lora"] = {"rank": lora.rank, "alpha": lora.alpha}
    directory.parent.mkdir(parents=True, exist_ok=True)
    if not building.name.endswith(".shared.tmp"):
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
    (building / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    write_ranks(building / checkpoint.tokenizer.spec.file, checkpoint.tokenizer.ranks)
    save_file(weights, building / WEIGHTS, metadata={"format": "pt"})
    if state is not None:
        save_file(state_tensors or {}, building / STATE_TENSORS)
        (building / STATE).write_text(json.dumps(state), encoding="utf-8")
    for path in (p for p in building.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    replace_directory(building, directory)


def replace_directory(new: Path, place: Path) -> None:
    """Put ``new`` at ``place``; whatever was there survives until ``new`` is whole."""
    old = place.with_name(f".{place.name}.old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def recovered(directory: Path) -> Path:
    """Return where a checkpoint is: a crash between two renames leaves only ``.NAME.old``."""
    old = directory.with_name(f".{directory.name}.old")
    return old if not directory.exists() and old.exists() else directory


def load_checkpoint(directory: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Load a checkpoint.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    directory = recovered(Path(directory))
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(directory / WEIGHTS, device=str(device))
        architecture = Architecture(**config["architecture"])
        spec = TokenizerSpec.from_json(config["tokenizer"])
        task = config["task"]
        lora = LoraConfig(**config["lora"], merge=False) if "lora" in config else None
    except FileNotFoundError as error:
        raise ValueError(f"{directory} holds no checkpoint: {error.filename} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"The checkpoint {directory} is damaged: {error}") from error
    except Exception as error:  # safetensors raises its own class for a cut file
        raise ValueError(f"The checkpoint {directory} is damaged: {error}") from error
    length = int(config["context_length"])
    transformer: Transformer | Encoder
    if architecture.layout == "bert":
        transformer = Encoder(architecture, length)
    else:
        transformer = Transformer(architecture, length)
        if lora is not None:
            add_lora(transformer, lora, seed=0)  # what is drawn here is replaced right below
    transformer.to(device)
    transformer.load_state_dict(_under("model.", tensors))
    classifier = None
    labels = [str(label) for label in config.get("labels", [])]
    if task == "classification":
        classifier = SequenceClassifier(transformer, len(labels), config.get("pooling", "last"))
        classifier.to(device)
        classifier.score.load_state_dict(_under("score.", tensors))
        wide = _under("ngrams.", tensors)
        if wide:
            vocabulary = architecture.vocabulary_size
            ngrams = NGramScore(vocabulary, len(wide["weight"]) - vocabulary)
            ngrams.load_state_dict(wide)
            classifier.ngrams = ngrams.to(device).requires_grad_(False)
    return Checkpoint(
        task=task,
        transformer=transformer,
        tokenizer=Tokenizer.load(directory, spec),
        classifier=classifier,
        labels=labels,
        extra=dict(config.get("extra", {})),
        provenance=dict(config.get("provenance", {})),
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_state(directory: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load what a resuming run needs.

    Raises:
        ValueError: the checkpoint has no training state.
    """
    directory = recovered(Path(directory))
    try:
        state = json.loads((directory / STATE).read_text(encoding="utf-8"))
        return load_file(directory / STATE_TENSORS), state
    except FileNotFoundError as error:
        raise ValueError(f"{directory} has no training state to resume from") from error
