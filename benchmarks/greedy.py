"""The engine's greedy output against torch's, at float32.

    python -m benchmarks.greedy CHECKPOINT [--prompts 50] [--tokens 64]

Exports CHECKPOINT at float32 and generates with both, from questions of training/datasets. A
difference is shown with the gap between torch's two best logits there: two kernels may round a
tie differently, but nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from threading import Event

import torch

from assistant.chat import GenerationOptions
from assistant.conversation import Message, encode_prompt
from assistant.engine.generator import TextGenerator
from benchmarks.quantization import dialogues
from training.checkpoint import load_checkpoint
from training.exporting.export import export_bundle
from training.sampling import SamplingOptions, generate


def main() -> None:
    """Print how many answers are the same, and every difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    same = 0
    with tempfile.TemporaryDirectory() as scratch:
        bundle = export_bundle(checkpoint, Path(scratch) / "b", "b", quantization="float32")
        engine = TextGenerator(bundle)
        system = Message("system", str(bundle.chat["system_prompt"]))
        for dialogue in dialogues(arguments.prompts):
            prompt = encode_prompt([system, dialogue[0]], checkpoint.tokenizer)
            greedy = SamplingOptions(max_tokens=arguments.tokens, temperature=0.0)
            expected = list(generate(checkpoint.transformer, prompt, greedy))
            options = GenerationOptions(max_tokens=arguments.tokens)
            found = list(engine.generate(prompt, options, frozenset(), Event()))
            if found == expected:
                same += 1
                continue
            pairs = zip(found, expected, strict=False)
            place = next((n for n, (a, b) in enumerate(pairs) if a != b), len(found))
            ids = torch.tensor([[*prompt, *expected[:place]]])
            with torch.no_grad():
                best = checkpoint.transformer(ids)[0, -1].topk(2).values
            print(f"differs at token {place}, torch's gap there {float(best[0] - best[1]):.2g}")
    print(f"the same: {same} of {arguments.prompts} answers of {arguments.tokens} tokens")


if __name__ == "__main__":
    main()
