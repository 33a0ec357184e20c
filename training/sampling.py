"""Trying a checkpoint: it completes, answers or classifies, by what it was trained for.

This is the plain torch version, for looking at models between the stages; what people use runs
the exported bundle.
"""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch
from torch import Tensor

from assistant.conversation import DEFAULT_SYSTEM_PROMPT, Message, encode_prompt
from assistant.text import sanitize
from assistant.tokenizer import END_OF_TEXT, MESSAGE_END
from training.checkpoint import Checkpoint, load_checkpoint
from training.device import choose_device
from training.model import LayerCache, Transformer
from training.run import checkpoint_directory


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen.

    Attributes:
        max_tokens: tokens to produce at most.
        temperature: 0 takes the most probable token.
        top_p: smallest set of tokens whose probability reaches this
            (https://arxiv.org/abs/1904.09751).
        seed: of the draws.
    """

    max_tokens: int = 128
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 1


def choose(logits_V: Tensor, options: SamplingOptions, generator: torch.Generator) -> int:
    """Draw one id from logits."""
    if options.temperature <= 0:
        return int(logits_V.argmax())
    probabilities, ids = torch.softmax(logits_V.cpu().double() / options.temperature, 0).sort(
        descending=True
    )
    before = probabilities.cumsum(0) - probabilities
    probabilities[before >= options.top_p] = 0.0  # the first always stays
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])


@torch.no_grad()
def generate(
    transformer: Transformer,
    ids: list[int],
    options: SamplingOptions,
    stop: Collection[int] = (),
) -> Iterator[int]:
    """Yield ids that follow ``ids`` until a stop id, ``max_tokens`` or the end of the context.

    Raises:
        ValueError: ``ids`` is empty or fills the context.
    """
    if not ids or len(ids) >= transformer.context_length:
        raise ValueError(
            f"The prompt has {len(ids)} tokens; between 1 and "
            f"{transformer.context_length - 1} fit this model"
        )
    transformer.eval()
    device = transformer.embed_tokens.weight.device
    generator = torch.Generator().manual_seed(options.seed)
    past: list[LayerCache] | None = None
    new, length = ids, len(ids)
    for _ in range(options.max_tokens):
        hidden, past = transformer.hidden(torch.tensor([new], device=device), past=past)
        chosen = choose(transformer.logits(hidden[0, -1]), options, generator)
        if chosen in stop:
            return
        yield chosen
        new, length = [chosen], length + 1
        if length > transformer.context_length:
            return


def complete(
    checkpoint: Checkpoint, prompt: str, options: SamplingOptions | None = None
) -> Iterator[str]:
    """Yield text as it is produced: a continuation, or a chat checkpoint's answer.

    Raises:
        ValueError: the prompt does not fit the context.
    """
    tokenizer = checkpoint.tokenizer
    if checkpoint.task == "chat":
        system = str(checkpoint.extra.get("system_prompt", DEFAULT_SYSTEM_PROMPT))
        messages = [Message("system", system), Message("user", prompt)]
        ids = encode_prompt(messages if system else messages[1:], tokenizer)
    else:
        # Documents begin with the end-of-text id; what "The " begins goes on with "movie", not
        # with " movie", so a space at the end is better left to the model.
        ids = [tokenizer.special(END_OF_TEXT), *tokenizer.encode(prompt.rstrip(" "))]
    stop = {tokenizer.special(END_OF_TEXT), tokenizer.spec.special_tokens.get(MESSAGE_END, -1)}
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    stripped = checkpoint.task != "chat" and prompt.endswith(" ")
    for chosen in generate(checkpoint.decoder, ids, options or SamplingOptions(), stop):
        text = decoder.decode(tokenizer.decode_bytes([chosen]))
        if stripped and text:
            text, stripped = text.removeprefix(" "), False
        yield text
    yield decoder.decode(b"", final=True)


def samples(
    checkpoint: Checkpoint, prompts: Sequence[str], options: SamplingOptions
) -> dict[str, str]:
    """Return what a model makes of each prompt; one that is too long for it is left out."""
    found = {}
    for number, prompt in enumerate(prompts):
        with contextlib.suppress(ValueError):
            pieces = complete(checkpoint, prompt, replace(options, seed=options.seed + number))
            found[prompt] = "".join(pieces)
    return found


def classify(checkpoint: Checkpoint, text: str) -> dict[str, float]:
    """Return the calibrated probability of each label, as the exported bundle computes it.

    Raises:
        ValueError: the checkpoint does not classify, or is not calibrated.
    """
    from training.finetuning.scoring import CheckpointClassifier

    probability = CheckpointClassifier(checkpoint).score([text])[0].probability
    other, positive = checkpoint.labels
    return {positive: probability, other: 1.0 - probability}


@click.command("sample")
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.argument("prompt")
@click.option("--max-tokens", type=click.IntRange(1), default=128, show_default=True)
@click.option("--temperature", type=click.FloatRange(0), default=0.8, show_default=True)
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=0.95)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def command(
    checkpoint: Path,
    prompt: str,
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    device: str,
) -> None:
    """Try CHECKPOINT, a checkpoint's folder or its run's, on PROMPT ("-" reads stdin).

    A foundation model continues the text, an instruction-tuned one answers, a classifier
    prints a line "label: probability" for each label.
    """
    if prompt == "-":
        prompt = sys.stdin.read()
    loaded = load_checkpoint(checkpoint_directory(checkpoint), choose_device(device))
    if loaded.task == "classification":
        for label, probability in classify(loaded, prompt).items():
            click.echo(f"{label}: {probability:.4f}")
        return
    options = SamplingOptions(max_tokens, temperature, top_p, seed)
    if loaded.task == "pretrained":
        click.echo(sanitize(prompt), nl=False)
    for piece in complete(loaded, prompt, options):
        click.echo(sanitize(piece), nl=False)
    click.echo()
