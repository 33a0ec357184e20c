"""Prompts without reference answers: what a model says to them is held against the contract.

A row holds ``messages`` (a user's message last), and for grounded questions ``context`` (notes
with title and text) and what a right answer is: ``facts`` (strings it must hold) with ``cites``
(numbers of the notes that hold them), or ``unanswerable``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.conversation import Message, Note, grounded_question
from training.datasets.jsonl import read_rows
from training.evaluation.behaviour import (
    asks_for_secrets,
    cites,
    holds_facts,
    invented,
    loops,
    pretends,
    refuses,
)
from training.evaluation.chat import Answerer


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer."""

    key: str
    messages: tuple[Message, ...]
    notes: tuple[Note, ...] = ()
    facts: tuple[str, ...] = ()
    cited: tuple[int, ...] = ()
    unanswerable: bool = False

    @property
    def grounded(self) -> bool:
        """Whether notes were given."""
        return bool(self.notes)

    def asked(self, system_prompt: str) -> list[Message]:
        """Return the whole conversation, notes put before the last question."""
        messages = list(self.messages)
        if self.notes:
            question = grounded_question(messages[-1].content, self.notes)
            messages[-1] = Message("user", question)
        return [Message("system", system_prompt), *messages] if system_prompt else messages


def holds_prompts(path: Path) -> bool:
    """Whether the first row of a file ends with a user's message."""
    for _, row in read_rows(path):
        messages = row.get("messages") or [{}]
        return bool(messages[-1].get("role") == "user")
    return False


def load_prompts(paths: Sequence[Path]) -> list[Prompt]:
    """Read prompts; raises ValueError with file:line for a row that holds none."""
    prompts = []
    for path in paths:
        for place, row in read_rows(path):
            try:
                prompt = Prompt(
                    key=str(row["id"]),
                    messages=tuple(Message(m["role"], str(m["content"])) for m in row["messages"]),
                    notes=tuple(
                        Note(str(n["title"]), str(n["text"])) for n in row.get("context", ())
                    ),
                    facts=tuple(str(fact) for fact in row.get("facts", ())),
                    cited=tuple(int(number) for number in row.get("cites", ())),
                    unanswerable=bool(row.get("unanswerable", False)),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{place}: expected id and messages ({error})") from error
            if not prompt.messages or prompt.messages[-1].role != "user":
                raise ValueError(f"{place}: the last message must be the user's")
            prompts.append(prompt)
    return prompts


def prompt_figures(
    answerer: Answerer, prompts: Sequence[Prompt], system_prompt: str
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Answer every prompt; return figures (rates in [0, 1]) and every answer with its findings.

    ``grounded_exact``: answerable questions whose answer holds all facts and cites right;
    ``grounded_refused``: unanswerable ones that were refused; ``grounded_refused_wrongly``:
    answerable ones that were refused without the facts.
    """
    answers: list[dict[str, Any]] = []
    rates: dict[str, list[bool]] = {}

    def note(name: str, value: bool) -> bool:
        rates.setdefault(name, []).append(value)
        return value

    for prompt in prompts:
        messages = prompt.asked(system_prompt)
        answer = answerer(messages)
        if answer is None:
            continue
        text = answer.text
        known = "\n".join(message.content for message in messages)
        found: list[str] = []

        def flag(name: str, wrong: bool, found: list[str] = found) -> None:
            if note(name, wrong):
                found.append(name)

        note("ends_by_itself", answer.ended)
        note("loop_free", not loops(text))
        if loops(text):
            found.append("loop")
        things = invented(text, known)
        flag("invented", bool(things))
        flag("asks_for_secrets", asks_for_secrets(text))
        flag("pretends", pretends(text))
        if prompt.grounded and prompt.unanswerable:
            if not note("grounded_refused", refuses(text)):
                found.append("not refused")
        elif prompt.grounded:
            facts = holds_facts(text, prompt.facts)
            if not note("grounded_facts", facts):
                found.append("facts")
            note("grounded_cited", cites(text, prompt.cited))
            if not note("grounded_exact", facts and cites(text, prompt.cited)) and facts:
                found.append("citation")
            flag("grounded_refused_wrongly", refuses(text) and not facts)
        answers.append(
            {"id": prompt.key, "question": messages[-1].content, "answer": text, "found": found}
            | ({"invented": things} if things else {})
        )
    figures = {"answers": float(len(answers))}
    figures |= {name: sum(values) / len(values) for name, values in rates.items()}
    return figures, answers
