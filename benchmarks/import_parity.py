"""Compare an imported model with two independent readers of the same GGUF file.

    python -m benchmarks.import_parity [GGUF or WHEEL]

transformers dequantizes the file itself: its logits must equal ours. llama.cpp tokenizes with
its own vocabulary code: its ids must equal ours. Needs the packages accelerate and
llama-cpp-python on top of the ``train`` and ``dev`` extras.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from training.importing.convert import import_gguf
from training.importing.source import locate_gguf

DATASETS = Path(__file__).parent.parent / "training" / "datasets"
SAMPLES = 2000
LOGIT_TEXTS = 20


def texts() -> list[str]:
    """Real sentences from the datasets, and random Unicode, 2,000 in all."""
    found = list(dict.fromkeys(_dataset_texts()))
    chooser = random.Random(0)  # noqa: S311, a reproducible sample
    chosen = chooser.sample(found, SAMPLES - 500)
    ranges = [(0x20, 0x7F), (0xA0, 0x24F), (0x370, 0x52F), (0x5D0, 0x6FF), (0x900, 0x97F),
              (0x4E00, 0x4FFF), (0xAC00, 0xAD00), (0x1F300, 0x1F6FF), (0x2000, 0x206F)]  # fmt: skip
    for _ in range(500):
        low, high = chooser.choice(ranges)
        letters = [chr(chooser.randrange(low, high)) for _ in range(chooser.randrange(1, 40))]
        chosen.append(
            "".join(c if chooser.random() > 0.2 else " \n\t19'"[ord(c) % 6] for c in letters)
        )
    return chosen


def _dataset_texts() -> Iterator[str]:
    for path in sorted(DATASETS.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield from (message["content"] for message in row.get("messages", []))
            yield from row.get("asks", [])
            if "body" in row:
                yield row["body"]


def main() -> None:
    """Print how many ids and logits agree."""
    path = locate_gguf(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    checkpoint = import_gguf(path)
    samples = texts()
    try:
        from llama_cpp import Llama

        peer = Llama(str(path), vocab_only=True, verbose=False)
        equal = sum(
            checkpoint.tokenizer.encode(text)
            == peer.tokenize(text.encode(), add_bos=False, special=False)
            for text in samples
        )
        print(f"texts whose ids equal llama.cpp's: {equal} of {len(samples)}")
    except ImportError:
        print("texts whose ids equal llama.cpp's: not measured (llama-cpp-python is missing)")
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    worst, agree, count = 0.0, 0, 0
    with torch.no_grad():
        for text in samples[:LOGIT_TEXTS]:
            ids = torch.tensor([checkpoint.tokenizer.encode(text)[:512]])
            ours, theirs = checkpoint.transformer(ids)[0], reference(ids).logits[0]
            worst = max(worst, float((ours - theirs).abs().max()))
            agree += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
            count += ids.shape[1]
    print(f"largest difference of a logit from transformers': {worst:.2e}")
    print(f"next tokens equal to transformers': {agree} of {count}")


if __name__ == "__main__":
    main()
