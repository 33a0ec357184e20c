"""Golden records: outputs taken at export that this machine must reproduce.

Integer kernels differ a little between processors, so the comparison allows for that: it
catches damaged weights and wrong kernels, not the last digit.
"""

from __future__ import annotations

from typing import Any

from assistant.bundle import Bundle
from assistant.chat import GenerationOptions
from assistant.conversation import Message, encode_prompt

ANSWER_TOKENS = 16
TOKEN_AGREEMENT = 0.75
PROBABILITY_TOLERANCE = 0.05


def record_chat(bundle: Bundle, questions: list[str]) -> list[dict[str, Any]]:
    """Answer each question greedily and return golden records.

    Questions that do not fit into the context are left out (a model for tests may be tiny).
    """
    from threading import Event

    from assistant.engine.generator import TextGenerator

    generator, tokenizer = TextGenerator(bundle), bundle.tokenizer()
    system = Message("system", str(bundle.chat["system_prompt"]))
    options = GenerationOptions(max_tokens=ANSWER_TOKENS)
    stops = frozenset(bundle.tokenizer_spec.special_tokens.values())
    records = []
    for question in questions:
        prompt = encode_prompt([system, Message("user", question)], tokenizer)
        if len(prompt) + ANSWER_TOKENS > bundle.context_length:
            continue
        answer = list(generator.generate(prompt, options, stops, Event()))
        records.append({"question": question, "prompt": prompt, "answer": answer})
    return records


def record_classification(bundle: Bundle, texts: list[str]) -> list[dict[str, Any]]:
    """Score each text and return golden records."""
    from assistant.engine.classifier import OnnxClassifier

    scores = OnnxClassifier(bundle).score(texts)
    return [
        {"text": text, "probability": round(score.probability, 4)}
        for text, score in zip(texts, scores, strict=True)
    ]


def check_golden(bundle: Bundle) -> list[str]:
    """Compare this machine's outputs with the recorded ones; returns what differs.

    Raises:
        ModelError: the bundle cannot be loaded.
    """
    if bundle.task == "classification":
        return _check_classification(bundle)
    return _check_chat(bundle)


def _check_chat(bundle: Bundle) -> list[str]:
    """Feed each recorded answer and count where the model would say the same next token."""
    from assistant.engine.generator import TextGenerator

    generator = TextGenerator(bundle)
    problems = []
    for record in bundle.golden:
        prompt, answer = list(record["prompt"]), list(record["answer"])
        if not answer:
            continue
        generator.rewind([])
        ids = prompt + answer[:-1]
        wanted = range(len(prompt) - 1, len(ids))
        predicted = generator.forward(ids, list(wanted)).argmax(axis=-1).tolist()
        agreement = sum(p == a for p, a in zip(predicted, answer, strict=True)) / len(answer)
        if agreement < TOKEN_AGREEMENT:
            problems.append(
                f"{record['question']!r}: {agreement:.0%} of the recorded tokens, expected at "
                f"least {TOKEN_AGREEMENT:.0%}"
            )
    return problems


def _check_classification(bundle: Bundle) -> list[str]:
    from assistant.engine.classifier import OnnxClassifier

    scores = OnnxClassifier(bundle).score([record["text"] for record in bundle.golden])
    return [
        f"{record['text'][:40]!r}: probability {score.probability:.3f}, recorded "
        f"{record['probability']:.3f}"
        for record, score in zip(bundle.golden, scores, strict=True)
        if abs(score.probability - record["probability"]) > PROBABILITY_TOLERANCE
    ]
