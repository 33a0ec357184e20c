"""Packed conversations against padded batches: conversations' tokens a CPU second of fine-tuning.

python -m benchmarks.training.packing [--rows 8] [--length 512] [--steps 12]

The dialogues of training/datasets. Padded: conversations in random order, ``rows`` to a batch,
filled up to the longest, as most fine-tuning code does it. Packed: ours, as many as make
``rows`` x ``length`` tokens without padding, the system prompt computed once. Both train the same
model with the same optimizer, in turn; a token counts where it belongs to a conversation, its
system prompt included, and padding counts as none. Seconds are the processor's, of one thread, so
that other load counts little.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator

import torch

from training.allocator import keep_freed_memory
from training.config import load_config
from training.finetuning.chat import ChatConfig
from training.finetuning.conversations import load_dialogues
from training.finetuning.examples import ChatExamples
from training.finetuning.packing import IGNORED, PackedBatch, PackedSource, answer_loss, pack
from training.fused import summed_cross_entropy
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
    torch.set_num_threads(1)
    keep_freed_memory()  # as training.loop.train does
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
            yield pack(found[start : start + options.rows])

    source = PackedSource(examples, options.length * options.rows, seed=1)
    losses: dict[str, Callable[[], tuple[torch.Tensor, PackedBatch]]] = {}
    batches = padded()
    losses["padded"] = lambda: padded_loss(models["padded"], next(batches))
    losses["packed"] = lambda: packed_loss(models["packed"], source.next())
    models = {name: Transformer(shape, options.length) for name in losses}
    optimizers = {n: torch.optim.AdamW(m.parameters(), fused=True) for n, m in models.items()}
    tokens, computed, seconds = (dict.fromkeys(losses, 0.0) for _ in range(3))
    for model in models.values():
        model.initialize(1)
    for step in range(options.steps + 1):
        for name, take in losses.items():
            started = time.process_time()
            loss, batch = take()
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad(set_to_none=True)
            if step:  # the first one allocates
                seconds[name] += time.process_time() - started
                tokens[name] += int(batch.lengths_K.sum())
                places = batch.ids_KT.numel()
                computed[name] += places if name == "padded" else batch.computed
    columns = ("batches", "conversations' tokens for each computed one", "tokens a CPU second")
    print(f"| {' | '.join(columns)} | against padded |")
    print("|---|---|---|---|")
    rates = {name: tokens[name] / seconds[name] for name in losses}
    for name, rate in rates.items():
        share = tokens[name] / computed[name]
        print(f"| {name} | {share:.2f} | {rate:,.0f} | {rate / rates['padded']:.2f} |")


def packed_loss(model: Transformer, batch: PackedBatch) -> tuple[torch.Tensor, PackedBatch]:
    """Return the mean loss of a batch as ours computes it."""
    summed, count = answer_loss(model, batch)
    return summed / count, batch


def padded_loss(model: Transformer, batch: PackedBatch) -> tuple[torch.Tensor, PackedBatch]:
    """Return the mean loss with every place of the rows computed, padding too; logits only where
    the loss counts, as ours."""
    hidden_KTD, _ = model.hidden(batch.ids_KT)
    counted = batch.targets_KT != IGNORED
    weight = model.embed_tokens.weight
    targets = batch.targets_KT[counted]
    return summed_cross_entropy(hidden_KTD[counted], weight, targets) / len(targets), batch


if __name__ == "__main__":
    main()
