"""What guessing copied text gains, and that it changes nothing.

    python -m benchmarks.speculation BUNDLE [--questions 20] [--tokens 96] [--threads N]

Asks questions with notes (training/datasets/gro.jsonl) and questions without (the other
dialogues), greedily, with and without guesses in turns. Prints how many answers are the same
token for token, how many tokens a step gives, and the ratio of speeds: the sum of what each
answer took, without guesses over with them.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from assistant.bundle import load_bundle
from assistant.chat import GenerationOptions
from assistant.conversation import Message, Note, encode_prompt, grounded_question
from assistant.engine.generator import TextGenerator
from benchmarks.quantization import DATASETS, dialogues


@dataclass
class Answer:
    """What one generation gave: tokens, steps after the prompt was read, seconds they took."""

    tokens: list[int]
    steps: int
    seconds: float


class CountingGenerator(TextGenerator):
    """Counts the steps of the graph."""

    steps = 0

    def forward(self, ids, wanted=None):  # type: ignore[no-untyped-def]
        """Count, then compute."""
        self.steps += 1
        return super().forward(ids, wanted)

    def answer(self, prompt: list[int], options: GenerationOptions, stop: frozenset[int]) -> Answer:
        """Generate; the clock starts when the prompt has been read."""
        self.read(prompt, Event())
        before, start = self.steps, time.perf_counter()
        tokens = list(self.generate(prompt, options, stop, Event()))
        # generate computes the prompt's last token again
        return Answer(tokens, self.steps - before - 1, time.perf_counter() - start)


def grounded(count: int) -> list[Message]:
    """Return the first ``count`` questions that carry notes."""
    lines = (DATASETS / "gro.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        Message(
            "user",
            grounded_question(
                row["messages"][0]["content"],
                [Note(note["title"], note["text"]) for note in row["context"]],
            ),
        )
        for row in rows
        if row.get("context")
    ][:count]


def main() -> None:
    """Print one row for each kind of question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    tokenizer = bundle.tokenizer()
    stop = frozenset(bundle.tokenizer_spec.special_tokens.values())
    options = GenerationOptions().updated(**bundle.chat.get("generation", {}))
    options = options.updated(temperature=0.0, max_tokens=arguments.tokens)
    engines = [
        CountingGenerator(bundle, arguments.threads, speculate=speculate)
        for speculate in (False, True)
    ]
    system = Message("system", str(bundle.chat["system_prompt"]))
    kinds = {
        "with notes": grounded(arguments.questions),
        "without": [dialogue[0] for dialogue in dialogues(arguments.questions)],
    }
    print("questions   answers  the same  tokens  tokens/step  speed")
    for name, questions in kinds.items():
        same, pairs = 0, []
        for question in questions:
            prompt = encode_prompt([system, question], tokenizer)
            plain, guessed = (engine.answer(prompt, options, stop) for engine in engines)
            same += plain.tokens == guessed.tokens
            pairs.append((plain, guessed))
        tokens = sum(len(guessed.tokens) for _, guessed in pairs)
        steps = sum(guessed.steps for _, guessed in pairs)
        ratio = sum(p.seconds for p, _ in pairs) / sum(g.seconds for _, g in pairs)
        print(
            f"{name:10}  {len(pairs):7}  {same:8}  {tokens:6}  {tokens / steps:11.2f}  {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
