"""Write a bundle from a checkpoint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from assistant.bundle import BUNDLE_FILE, Bundle, file_sha256, load_bundle
from assistant.conversation import (
    DEFAULT_SYSTEM_PROMPT,
    HANDBOOK_STARTS,
    Message,
    encode_conversation,
)
from assistant.engine.golden import record_chat, record_classification
from assistant.tokenizer import write_ranks
from training.checkpoint import Checkpoint, replace_directory
from training.encoder import Encoder
from training.exporting.calibration import calibration_texts, input_moments
from training.exporting.decoder import build_classification_graph, build_generation_graph
from training.exporting.encoder import build_encoder_classification_graph
from training.exporting.model_card import model_card
from training.exporting.quantization import QUANTIZATIONS, Quantization
from training.finetuning.lora import lora_config

# Greedy; no seven tokens come twice, which ends a small model's loops and touches 1% of the
# written answers.
DEFAULT_GENERATION = {
    "temperature": 0.0,
    "no_repeat_ngram": 7,
    "given_facts_only": True,
    "copy_bonus": 3.0,
    "quote_notes": True,
    "max_tokens": 512,
    # an answer never goes on with what only a question looks like
    "stop": [f"\n{start}" for start in HANDBOOK_STARTS],
}
GRAPH, CARD = "model.onnx", "README.md"
GOLDEN_QUESTIONS = [
    "How can I reset my password?",
    "My parcel has not arrived. What should I do?",
]
GOLDEN_TEXTS = [
    "",
    "Subject: lunch\n\nShall we meet at one? The usual place is fine with me.",
    "Subject: Your account is suspended\n\nDear customer, confirm your card within 24 hours.",
]


def export_bundle(
    checkpoint: Checkpoint,
    directory: Path,
    name: str,
    description: str = "",
    quantization: Quantization = "int8",
    adapter_rank: int | None = None,
) -> Bundle:
    """Write a bundle and return it; what was at ``directory`` stays until the new one is whole.

    Chat and pretrained checkpoints become a generator, classification ones a classifier.
    Adapters that a checkpoint keeps apart stay beside 4-bit weights, in files of their own, and
    are merged otherwise.

    Args:
        adapter_rank: rank of the adapters of layers that share a product, together; None takes
            what costs no time (``extension``).

    Raises:
        ValueError: unknown quantization, or the checkpoint lacks what its task needs.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"unknown quantization {quantization!r}; known: {', '.join(QUANTIZATIONS)}"
        )
    classification = checkpoint.task == "classification"
    if isinstance(checkpoint.transformer, Encoder) and (
        quantization.startswith("int4") or not classification
    ):
        raise ValueError("an encoder is exported as a classifier, in int8 or float32")
    if adapter_rank is not None and adapter_rank < 1:
        raise ValueError(f"adapter rank {adapter_rank}: at least 1")
    facts = _classification_facts(checkpoint) if classification else {}
    lost, moments = 0.0, None
    if quantization == "int4" and lora_config(checkpoint.transformer) and not classification:
        moments = input_moments(checkpoint, calibration_texts(checkpoint))
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        spec = checkpoint.tokenizer.spec
        write_ranks(building / spec.file, checkpoint.tokenizer.ranks)
        graph = building / GRAPH
        if classification and isinstance(checkpoint.transformer, Encoder):
            build_encoder_classification_graph(checkpoint, quantization, graph)
        elif classification:
            build_classification_graph(checkpoint, quantization, graph)
        else:
            lost = build_generation_graph(
                checkpoint.decoder, quantization, graph, adapter_rank, moments
            )
        bundle = Bundle(
            directory=building,
            name=name,
            description=description,
            task="classification" if classification else "chat",
            architecture=checkpoint.transformer.architecture,
            context_length=checkpoint.transformer.context_length,
            tokenizer_spec=spec,
            graph=_graph_facts(checkpoint, quantization, lost),
            files=_hashes(building),
            chat={} if classification else _chat_facts(checkpoint),
            classification=facts,
            provenance=checkpoint.provenance,
        )
        if classification:
            golden = record_classification(bundle, GOLDEN_TEXTS)
        else:
            golden = record_chat(bundle, GOLDEN_QUESTIONS)
            bundle = _with(bundle, prefix=_store_system_prompt(bundle))
        bundle = _with(bundle, golden=golden)
        card = model_card(bundle, checkpoint.extra.get("metrics", {}))
        (building / CARD).write_text(card, encoding="utf-8")
        bundle = _with(bundle, files=_hashes(building))
        write_bundle_file(bundle)
        replace_directory(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return load_bundle(directory)


def _with(bundle: Bundle, **changes: Any) -> Bundle:
    return Bundle(**(bundle.__dict__ | changes))


def write_bundle_file(bundle: Bundle) -> None:
    """Write bundle.json into the bundle's directory."""
    import json

    text = json.dumps(bundle.to_json(), indent=1, ensure_ascii=False) + "\n"
    (bundle.directory / BUNDLE_FILE).write_text(text, encoding="utf-8")


def _store_system_prompt(bundle: Bundle) -> dict[str, Any]:
    """Compute the keys and values that every conversation begins with; see ``stored_prefix``."""
    from threading import Event

    from assistant.engine.generator import TextGenerator

    system = Message("system", str(bundle.chat["system_prompt"]))
    if not system.content.strip():
        return {}
    tokens, _ = encode_conversation([system], bundle.tokenizer())
    if len(tokens) >= bundle.context_length:  # a model for tests may be tiny
        return {}
    generator = TextGenerator(bundle)
    generator.read(tokens, Event())
    return generator.store_prefix(bundle)


def _hashes(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.iterdir() if path.name != BUNDLE_FILE)
    return {path.name: file_sha256(path) for path in files}


def _graph_facts(checkpoint: Checkpoint, quantization: Quantization, lost: float) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": GRAPH, "quantization": quantization, "kv_cache": "float32"}
    lora = lora_config(checkpoint.transformer)
    if lora is not None and quantization == "int4":
        facts |= {"adapter_rank": lora.rank, "adapter_loss": round(lost, 5)}
    return facts


def _chat_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    extra = checkpoint.extra
    return {
        "template": "chatml",
        "system_prompt": extra.get("system_prompt", DEFAULT_SYSTEM_PROMPT),
        "generation": extra.get("generation", DEFAULT_GENERATION),
    }


def _classification_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    keys = ("positive", "threshold", "unsure", "calibration", "windows")
    missing = [key for key in keys if key not in checkpoint.extra]
    if missing:
        raise ValueError(
            f"the classification checkpoint lacks {', '.join(missing)}; fine-tune it again"
        )
    return {"labels": checkpoint.labels} | {key: checkpoint.extra[key] for key in keys}
