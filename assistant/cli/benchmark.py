"""``assistant benchmark``: how fast this machine is with these models."""

from __future__ import annotations

import sys
import time
from statistics import median
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import DEFAULT_CLASSIFIER, json_option, model_option, note, print_json
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from assistant.chat import ChatModel, Completion
    from assistant.conversation import Message

RUNS = 3
ANSWER_TOKENS = 64
PROMPT_TOKENS = 512
CONTEXTS = (50, 500, 1500)
MESSAGES = 64
_QUESTION = "My parcel has not arrived. What can I do?"
_FOLLOW_UP = "And what do I do if nobody answers me there?"
_MAIL = (
    "Subject: Your invoice\n\nDear customer, attached is the invoice of this month. "
    "Please tell us by Friday if anything is missing. "
)


@click.command()
@json_option
@model_option
def benchmark(as_json: bool, model_name: str) -> None:
    """Measure load time, time to first token, tokens per second and memory.

    Each speed is the median of 3 runs. Tokens are computed one by one here: what an answer
    copies from the conversation comes faster.
    """
    results: dict[str, Any] = {"chat": measure_chat(model_name)}
    try:
        results["classifier"] = measure_classifier(DEFAULT_CLASSIFIER)
    except AssistantError as error:
        note(f"no classifier was measured ({error.message})")
        results["classifier"] = None
    results["peak_memory_mb"] = peak_memory_mb()
    if as_json:
        print_json(results)
        return
    chat, classifier = results["chat"], results["classifier"]
    rows = [
        ("chat model", chat["model"]),
        ("load", f"{chat['load_ms']:.0f} ms"),
        ("time to first token", f"{chat['time_to_first_token_ms']:.0f} ms (a short question)"),
        (
            "reading",
            f"{chat['prefill_tokens_per_second']:.0f} tokens/s "
            f"(a prompt of {chat['prefill_tokens']} tokens)",
        ),
        ("writing", f"{chat['decode_tokens_per_second']:.1f} tokens/s"),
        ("next question", f"{chat['follow_up_ms']:.0f} ms to the first token"),
    ]
    rows += [
        (
            f"after {at['prompt_tokens']} tokens",
            f"{at['decode_tokens_per_second']:.1f} tokens/s "
            f"(read at {at['prefill_tokens_per_second']:.0f} tokens/s)",
        )
        for at in chat["contexts"]
    ]
    if classifier:
        rows += [
            ("classifier", classifier["model"]),
            ("load", f"{classifier['load_ms']:.0f} ms"),
            ("messages", f"{classifier['messages_per_second']:.1f} per second"),
        ]
    if results["peak_memory_mb"] is not None:
        rows.append(("peak memory", f"{results['peak_memory_mb']:.0f} MB"))
    for name, value in rows:
        click.echo(f"{name:<21}{value}")


def measure_chat(model_name: str) -> dict[str, Any]:
    """Measure a chat model; speeds are medians of ``RUNS`` runs."""
    from assistant.conversation import Message
    from assistant.engine.chat_model import load_chat_model

    start = time.perf_counter()
    model = load_chat_model(model_name, speculate=False)
    load_ms = (time.perf_counter() - start) * 1000
    model.warm_up()
    system = Message("system", model.system_prompt)
    answers, reads, follow_ups = [], [], []
    for run in range(RUNS):
        # A number first: no run finds the text of the one before in the cache.
        asked = [system, Message("user", f"{run}: {_QUESTION}")]
        answers.append(_complete(model, asked, ANSWER_TOKENS))
        asked += [
            Message("assistant", answers[-1].text or "-"),
            Message("user", f"{run}: {_FOLLOW_UP}"),
        ]
        follow_ups.append(_complete(model, asked, 1))
        reads.append(_complete(model, _long_prompt(model, run, PROMPT_TOKENS), 1))
    return {
        "model": model.name,
        "load_ms": load_ms,
        "time_to_first_token_ms": median(c.time_to_first_token_ms for c in answers),
        "follow_up_ms": median(c.time_to_first_token_ms for c in follow_ups),
        "decode_tokens_per_second": median(c.tokens_per_second for c in answers),
        "decode_tokens": median(c.output_tokens for c in answers),
        "prefill_tokens_per_second": median(_reading_speed(c) for c in reads),
        "prefill_tokens": reads[0].prompt_tokens,
        "contexts": [
            measure_context(model, tokens)
            for tokens in CONTEXTS
            if tokens + ANSWER_TOKENS < model.context_length
        ],
        "runs": RUNS,
    }


def measure_context(model: ChatModel, tokens: int) -> dict[str, Any]:
    """Measure reading a prompt of about ``tokens`` tokens and writing after it."""
    completions = [
        _complete(model, _long_prompt(model, run, tokens), ANSWER_TOKENS) for run in range(RUNS)
    ]
    return {
        "prompt_tokens": completions[0].prompt_tokens,
        "prefill_tokens_per_second": median(_reading_speed(c) for c in completions),
        "decode_tokens_per_second": median(c.tokens_per_second for c in completions),
    }


def _reading_speed(completion: Completion) -> float:
    return completion.prompt_tokens / (completion.time_to_first_token_ms / 1000)


def measure_classifier(name: str) -> dict[str, Any]:
    """Measure a classifier over ``MESSAGES`` texts of a short mail's length."""
    from assistant.engine.classifier import load_classifier

    start = time.perf_counter()
    classifier = load_classifier(name)
    load_ms = (time.perf_counter() - start) * 1000
    texts = [f"{number} {_MAIL * (1 + number % 4)}" for number in range(MESSAGES)]
    classifier.score(texts[:2])
    rates = []
    for _ in range(RUNS):
        start = time.perf_counter()
        classifier.score(texts)
        rates.append(MESSAGES / (time.perf_counter() - start))
    return {
        "model": classifier.name,
        "load_ms": load_ms,
        "messages": MESSAGES,
        "messages_per_second": median(rates),
        "runs": RUNS,
    }


def peak_memory_mb() -> float | None:
    """Return this process's largest resident set so far, in MB; None where it is not told."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6  # bytes; KiB elsewhere


def _complete(model: ChatModel, messages: list[Any], max_tokens: int) -> Completion:
    from assistant.chat import Completion, GenerationOptions

    options = GenerationOptions(max_tokens=max_tokens)
    for event in model.stream(messages, options, Event()):
        if isinstance(event, Completion):
            return event
    raise AssistantError("The model ended its answer without saying why")


def _long_prompt(model: ChatModel, run: int, tokens: int) -> list[Message]:
    """Return a prompt of at most ``tokens`` tokens; another run's shares no beginning with it."""
    from assistant.conversation import Message
    from assistant.window import shortened

    wanted = min(tokens, model.context_length - ANSWER_TOKENS - 1)
    text = f"{tokens}/{run} {_MAIL * (1 + tokens // 20)}"
    fitting = shortened(
        text, "start", lambda part: model.count_tokens([Message("user", part)]) <= wanted
    )
    return [Message("user", fitting)]
