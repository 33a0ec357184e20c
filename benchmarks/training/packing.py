"""Packed rows against padded batches, in real tokens a second of fine-tuning.

python -m benchmarks.training.packing [--rows 8] [--length 512] [--steps 4]

The dialogues of training/datasets. Padded: conversations in random order, ``rows`` to a batch,
filled up to the longest, as most fine-tuning code does it. Packed: our rows of ``length`` tokens
with document masks. Both train the same small model, in turn; padding counts as no token.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator

import torch

from training.config import load_config
from training.finetuning.chat import ChatConfig
from training.finetuning.conversations import load_dialogues
from training.finetuning.examples import ChatExamples
from training.finetuning.packing import PADDING, PackedBatch, PackedSource, answer_losses, pack
from training.model import Transformer
from training.pretraining.config import PretrainConfig
from training.tokenizer.train import train_tokenizer


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    torch.manual_seed(1)
    config = ChatConfig(foundation="", context_length=options.length)
    dialogues = [d for d in load_dialogues(config.data) if d.split == "train"]
    texts = [m.content for d in dialogues[::4] for m in d.messages]
    tokenizer = train_tokenizer(texts, 4096)
    shape = load_config(PretrainConfig, "cpu").model.architecture(tokenizer.vocabulary_size)
    examples = ChatExamples(
        dialogues, tokenizer, options.length, config.data.system_prompt, one=False
    )

    def padded() -> Iterator[PackedBatch]:
        draw = random.Random(1)  # noqa: S311
        found = examples(draw)
        draw.shuffle(found)
        for start in range(0, len(found), options.rows):
            some = found[start : start + options.rows]
            yield pack([[example] for example in some], max(len(e.ids) for e in some))

    source = PackedSource(examples, options.length, options.rows, seed=1)
    batches: dict[str, Callable[[], PackedBatch]] = {
        "padded": padded().__next__,
        "packed": source.next,
    }
    models = {name: Transformer(shape, options.length) for name in batches}
    optimizers = {n: torch.optim.AdamW(m.parameters(), lr=1e-4) for n, m in models.items()}
    tokens, filled, seconds = (dict.fromkeys(batches, 0.0) for _ in range(3))
    rates: dict[str, list[float]] = {name: [] for name in batches}
    for model in models.values():
        model.initialize(1)
    for step in range(options.steps + 1):
        for name, take in batches.items():
            batch = take()
            real = int((batch.documents_BT != PADDING).sum())
            started = time.perf_counter()
            answer_losses(models[name], batch).mean().backward()
            optimizers[name].step()
            optimizers[name].zero_grad(set_to_none=True)
            took = time.perf_counter() - started
            if step:  # the first one allocates
                tokens[name] += real
                filled[name] += batch.ids_BT.numel()
                seconds[name] += took
                rates[name].append(real / took)
    print("| batches | share of real tokens | real tokens/s | median of steps | against padded |")
    print("|---|---|---|---|---|")
    base = sorted(rates["padded"])[len(rates["padded"]) // 2]
    for name in batches:
        median = sorted(rates[name])[len(rates[name]) // 2]
        share, rate = tokens[name] / filled[name], tokens[name] / seconds[name]
        print(f"| {name} | {share:.1%} | {rate:,.0f} | {median:,.0f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
