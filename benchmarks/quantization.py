"""Compare a chat bundle with the float32 checkpoint it was exported from.

    python -m benchmarks.quantization CHECKPOINT BUNDLE [--dialogues 40] [--json FILE]

Prints the mean Kullback-Leibler divergence KL(checkpoint || bundle) in nats and the share of
next tokens on which both agree, over dialogues of training/datasets' test split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from assistant.bundle import load_bundle
from assistant.conversation import Message, encode_conversation
from assistant.engine.generator import TextGenerator
from training.checkpoint import load_checkpoint
from training.datasets.splits import split_of

DATASETS = Path(__file__).parent.parent / "training" / "datasets"


def dialogues(count: int) -> list[list[Message]]:
    """Return ``count`` dialogues of the test split, spread evenly over the files."""
    files = ["acc", "app", "bil", "con", "dev", "ord"]
    rows = []
    for name in files:
        lines = (DATASETS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        held_out = [row for row in map(json.loads, lines) if split_of(row["id"]) == "test"]
        rows += held_out[: -(-count // len(files))]
    return [[Message(m["role"], m["content"]) for m in row["messages"]] for row in rows[:count]]


def main() -> None:
    """Print divergence and agreement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--dialogues", type=int, default=40)
    parser.add_argument("--json", type=Path, help="also write the figures here, for the card")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    bundle = load_bundle(arguments.bundle)
    generator = TextGenerator(bundle)
    system = Message("system", str(bundle.chat["system_prompt"]))
    divergence, agreement, tokens = 0.0, 0, 0
    for dialogue in dialogues(arguments.dialogues):
        ids, _ = encode_conversation([system, *dialogue], checkpoint.tokenizer)
        ids = ids[: bundle.context_length]
        with torch.no_grad():
            expected = torch.log_softmax(checkpoint.transformer(torch.tensor([ids]))[0], -1)
        generator.rewind([])
        logits = generator.forward(ids, list(range(len(ids))))
        found = torch.log_softmax(torch.from_numpy(logits.copy()), -1)
        divergence += float((expected.exp() * (expected - found)).sum())
        agreement += int((expected.argmax(-1) == found.argmax(-1)).sum())
        tokens += len(ids)
    figures = {
        "tokens": tokens,
        "kl_divergence": round(divergence / tokens, 5),
        "next_token_agreement": round(agreement / tokens, 4),
        "megabytes": round(bundle.size_bytes / 1e6, 1),
    }
    for figure, value in figures.items():
        print(f"{figure}: {value}")
    if arguments.json:
        name = f"against the float32 checkpoint, {arguments.dialogues} dialogues"
        arguments.json.write_text(json.dumps({name: figures}), encoding="utf-8")


if __name__ == "__main__":
    main()
