"""Compare a chat bundle with the float32 checkpoint it was exported from.

    python -m benchmarks.quantization CHECKPOINT BUNDLE [--dialogues 40] [--json FILE]

Prints the mean Kullback-Leibler divergence KL(checkpoint || bundle) in nats and the share of
next tokens on which both agree, over dialogues of training/datasets' test split: over every token
of the dialogues as they stand, and over those of the last answers when the questions are put as the
app puts them, with the handbook entry that it finds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from assistant.bundle import load_bundle
from assistant.conversation import Message, encode_conversation, encode_prompt
from assistant.engine.chat_model import OnnxChatModel
from assistant.engine.generator import TextGenerator
from assistant.handbook.reading import fitted_prompt
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


@dataclass
class Difference:
    """Sums over tokens."""

    divergence: float = 0.0
    agreed: int = 0
    tokens: int = 0

    def add(self, expected: Tensor, found: Tensor) -> None:
        """Take in the log-probabilities [N, V] of N tokens."""
        self.divergence += float((expected.exp() * (expected - found)).sum())
        self.agreed += int((expected.argmax(-1) == found.argmax(-1)).sum())
        self.tokens += len(expected)

    def figures(self, name: str) -> dict[str, float]:
        """Return the means."""
        tokens = max(1, self.tokens)
        return {
            f"{name}tokens": self.tokens,
            f"{name}kl_divergence": round(self.divergence / tokens, 5),
            f"{name}next_token_agreement": round(self.agreed / tokens, 4),
        }


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
    model = OnnxChatModel(bundle)
    system = Message("system", str(bundle.chat["system_prompt"]))

    def compared(messages: Sequence[Message]) -> tuple[Tensor, Tensor, Tensor]:
        """Return both models' log-probabilities [T, V] and which next tokens are answers."""
        ids, mask = encode_conversation(messages, checkpoint.tokenizer)
        ids = ids[: bundle.context_length]
        with torch.no_grad():
            expected = torch.log_softmax(checkpoint.decoder(torch.tensor([ids]))[0], -1)
        generator.rewind([])
        logits = generator.forward(ids, list(range(len(ids))))
        found = torch.log_softmax(torch.from_numpy(logits.copy()), -1)
        counted = torch.tensor([*mask[1 : len(ids)], 0], dtype=torch.bool)
        return expected, found, counted

    whole, answers = Difference(), Difference()
    for dialogue in dialogues(arguments.dialogues):
        expected, found, _ = compared([system, *dialogue])
        whole.add(expected, found)
        asked = fitted_prompt([system], dialogue[:-1], model, 256).messages
        expected, found, counted = compared([*asked, dialogue[-1]])
        last = counted & (
            torch.arange(len(counted)) >= len(encode_prompt(asked, checkpoint.tokenizer)) - 1
        )
        answers.add(expected[last], found[last])
    figures = {
        **whole.figures(""),
        **answers.figures("answers_as_asked_"),
        "megabytes": round(bundle.size_bytes / 1e6, 1),
    }
    for figure, value in figures.items():
        print(f"{figure}: {value}")
    if arguments.json:
        name = f"against the float32 checkpoint, {arguments.dialogues} dialogues"
        arguments.json.write_text(json.dumps({name: figures}), encoding="utf-8")


if __name__ == "__main__":
    main()
