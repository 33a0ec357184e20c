"""Measure a chat model: how well it predicts reference answers, and what its own are like."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assistant.chat import ChatModel, Completion
from assistant.conversation import Message, encode_prompt, is_about_notes
from assistant.errors import TooLongError
from assistant.handbook.reading import fitted_prompt, with_entries, with_passages
from assistant.handbook.search import Handbook
from assistant.tokenizer import END_OF_TEXT, MESSAGE_END
from training.checkpoint import Checkpoint
from training.datasets.splits import unit_interval
from training.evaluation.text_metrics import (
    chrf,
    cites_only,
    facts,
    repetition,
    rouge_l,
    words,
)
from training.evaluation.text_metrics import cited as cited_notes
from training.finetuning.conversations import Dialogue, encode_example
from training.finetuning.packing import answer_losses, packed
from training.sampling import SamplingOptions, generate


@dataclass(frozen=True)
class Answer:
    """A generated answer, and whether the model ended it by itself."""

    text: str
    ended: bool


Answerer = Callable[[Sequence[Message]], Answer | None]
"""Conversation, a user's message last, to an answer; None when it is too long for the model."""


def checkpoint_answerer(checkpoint: Checkpoint, max_tokens: int) -> Answerer:
    """Answer greedily with a checkpoint."""
    tokenizer, transformer = checkpoint.tokenizer, checkpoint.decoder
    stop = {tokenizer.special(END_OF_TEXT), tokenizer.special(MESSAGE_END)}
    options = SamplingOptions(max_tokens=max_tokens, temperature=0.0)

    def answer(messages: Sequence[Message]) -> Answer | None:
        prompt = encode_prompt(messages, tokenizer)
        if len(prompt) >= transformer.context_length:
            return None
        ids = list(generate(transformer, prompt, options, stop))
        full = len(ids) >= max_tokens or len(prompt) + len(ids) > transformer.context_length
        return Answer(tokenizer.decode(ids).strip(), not full)

    return answer


def model_answerer(model: ChatModel, max_tokens: int) -> Answerer:
    """Answer greedily with a runtime model, as the app asks it: with its handbook, if any, and
    the bundle's other defaults."""
    options = model.options.updated(temperature=0.0, max_tokens=max_tokens)

    def answer(messages: Sequence[Message]) -> Answer | None:
        first = int(messages[0].role == "system")
        try:
            prompt = fitted_prompt(messages[:first], messages[first:], model, max_tokens)
        except TooLongError:
            return None
        *_, last = model.stream(prompt.messages, options, threading.Event())
        assert isinstance(last, Completion)
        return Answer(last.text.strip(), last.stop_reason == "end")

    return answer


def reading_answerer(answerer: Answerer, handbook: Handbook) -> Answerer:
    """Answer with handbook entries in front of the question, as a bundle with one would."""

    def answer(messages: Sequence[Message]) -> Answer | None:
        messages = with_passages(messages, handbook.reader.find)
        questions = [message.content for message in messages if message.role == "user"]
        if any(is_about_notes(question) for question in questions):
            return answerer(messages)
        found = handbook.find(questions)
        asked = with_entries(messages, [each.entry for each in found]) if found else messages
        return answerer(asked) or answerer(messages)

    return answer


@torch.no_grad()
def perplexity(
    checkpoint: Checkpoint, dialogues: Sequence[Dialogue], system_prompt: str, rows: int = 4
) -> dict[str, float]:
    """Return loss and perplexity per token of the reference answers, end tokens included."""
    transformer = checkpoint.decoder.eval()
    length = min(transformer.context_length, 1024)
    examples = [
        example
        for dialogue in dialogues
        for messages in dialogue.variants(system_prompt)[:1]
        if (example := encode_example(messages, checkpoint.tokenizer, length)) is not None
    ]
    total, count = 0.0, 0
    for batch in packed(examples, rows * length):
        losses = answer_losses(transformer, batch)
        total, count = total + float(losses.double().sum()), count + len(losses)
    if not count:
        return {}
    mean = total / count
    return {
        "answer_tokens": float(count),
        "answer_loss": mean,
        "answer_perplexity": math.exp(min(mean, 50.0)),
    }


def generation_figures(
    answerer: Answerer, dialogues: Sequence[Dialogue], system_prompt: str, sample: int
) -> dict[str, Any]:
    """Answer a fixed sample of dialogues and return figures and the first few answers.

    Returns:
        ``answers``, ``end_rate`` (ended by itself), ``mean_words``, ``repetition`` (see
        ``text_metrics.repetition``), ``rouge_l`` and ``chrf`` against the reference; of grounded
        questions alone ``citation_rate`` (cites a note, and only notes there are),
        ``citations_exact`` (cites what the reference cites), ``facts_copied`` (share of the
        facts that the reference takes from notes or question which the answer has too) and
        ``facts_supported`` (share of the answer's facts that stand in notes or question, see
        ``text_metrics.facts``); ``too_long`` (left out), ``examples``.
    """
    chosen = sorted(dialogues, key=lambda d: unit_interval(f"answer:{d.key}"))[:sample]
    ends: list[bool] = []
    cited: list[bool] = []
    exact: list[bool] = []
    copied: list[bool] = []
    supported: list[bool] = []
    lengths, repeats, overlaps, similarity = [], [], [], []
    examples: list[dict[str, str]] = []
    too_long = 0
    for dialogue in chosen:
        *messages, reference = dialogue.variants(system_prompt)[0]
        answer = answerer(messages)
        if answer is None:
            too_long += 1
            continue
        ends.append(answer.ended)
        lengths.append(len(words(answer.text)))
        repeats.append(repetition(answer.text))
        overlaps.append(rouge_l(answer.text, reference.content))
        similarity.append(chrf(answer.text, reference.content))
        if dialogue.notes:
            cited.append(cites_only(answer.text, len(dialogue.notes)))
            exact.append(cited_notes(answer.text) == cited_notes(reference.content))
            given = facts("\n".join(message.content for message in messages))
            wanted, said = facts(reference.content) & given, facts(answer.text)
            copied += [fact in said for fact in sorted(wanted)]
            supported += [fact in given for fact in sorted(said)]
        if len(examples) < 5:
            question = messages[-1].content
            examples.append({"id": dialogue.key, "question": question, "answer": answer.text})
    figures: dict[str, Any] = {"answers": float(len(ends)), "too_long": float(too_long)}
    named: dict[str, Sequence[float]] = {
        "end_rate": ends,
        "mean_words": lengths,
        "repetition": repeats,
        "rouge_l": overlaps,
        "chrf": similarity,
        "citation_rate": cited,
        "citations_exact": exact,
        "facts_copied": copied,
        "facts_supported": supported,
    }
    for name, values in named.items():
        if values:
            figures[name] = sum(values) / len(values)
    return figures | {"examples": examples}


def by_topic(
    dialogues: Sequence[Dialogue], measure: Callable[[Sequence[Dialogue]], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the figures of all dialogues and of each source file."""
    figures = {"all": measure(dialogues)}
    for source in sorted({dialogue.source for dialogue in dialogues}):
        figures[source] = measure([d for d in dialogues if d.source == source])
    return figures


def is_bundle(path: Path) -> bool:
    """Whether a folder holds a bundle rather than a checkpoint."""
    return (path / "bundle.json").is_file()
