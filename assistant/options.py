"""Options of generation as people type them: names, ranges, and what differs from the model's."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assistant.chat import GenerationOptions
from assistant.errors import AssistantError, BadInputError
from assistant.text import sanitize_line


@dataclass(frozen=True)
class Option:
    """One option, for people.

    Attributes:
        low, high: the range, both ends in it.
        whole: whether it is a whole number.
        help: one line.
    """

    name: str
    low: float
    high: float
    whole: bool
    help: str

    def read(self, text: str) -> float | int | None:
        """Return the value of a text; None only for "random", the seed drawn anew each time.

        Raises:
            BadInputError: it is no number, or outside the range.
        """
        text = text.strip()
        if self.name == "seed" and text.lower() in {"", "none", "random"}:
            return None
        try:
            value = int(text) if self.whole else float(text.replace(",", "."))
        except ValueError:
            value = math.nan
        if not self.low <= value <= self.high:
            kind = "a whole number" if self.whole else "a number"
            raise BadInputError(
                f"{self.name} must be {kind} from {self.low:g} to {self.high:g}, "
                f"not {sanitize_line(text, 20) or 'nothing'}"
            )
        return value


OPTIONS = {
    option.name: option
    for option in (
        Option("temperature", 0, 2, False, "0 always takes the most probable token"),
        Option("top_p", 0.01, 1, False, "the smallest set this probable, 1 is all"),
        Option("top_k", 0, 100_000, True, "so many most probable tokens, 0 is all"),
        Option("min_p", 0, 1, False, "at least this share of the best token's"),
        Option("repetition_penalty", 0.5, 3, False, "above 1 makes repetition less likely"),
        Option("no_repeat_ngram", 0, 100, True, "no run of so many twice, 0 is off"),
        Option("given_facts_only", 0, 1, True, "1: no link, number or sum nobody gave"),
        Option("copy_bonus", 0, 20, False, "copies entries and notes, 0 is off"),
        Option("quote_notes", 0, 1, True, "1: quotes the notes it answers from"),
        Option("max_tokens", 1, 100_000, True, "the longest answer"),
        Option("seed", 0, 2**31 - 1, True, "random draws one for each answer"),
    )
}


def read_options(text: str, options: GenerationOptions) -> GenerationOptions:
    """Return the options with changes as typed: "temperature=0.7 seed=3".

    Raises:
        BadInputError: an unknown name, no number, or outside the range.
    """
    changes: dict[str, Any] = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        name = name.strip().lower().replace("-", "_")
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.5)
            raise BadInputError(
                f"There is no option {sanitize_line(name, 30)}",
                f"Did you mean {near[0]}?" if near else f"There are {', '.join(OPTIONS)}",
            )
        if not equals:
            raise BadInputError(f"{name} has no value", f"Write {name}=VALUE")
        changes[name] = OPTIONS[name].read(value)
    return dataclasses.replace(options, **changes)


def restored_options(stored: Mapping[str, Any], options: GenerationOptions) -> GenerationOptions:
    """Return the options with what a conversation stored; what cannot be used is left out."""
    changes: dict[str, Any] = {}
    for name, value in stored.items():
        if name == "stop" and isinstance(value, (list, tuple)):
            texts = tuple(text for text in value if isinstance(text, str))
            changes |= {"stop": texts} if texts else {}
        if name in OPTIONS and isinstance(value, (int, float, str)):
            try:
                changes[name] = OPTIONS[name].read(
                    str(+value if isinstance(value, bool) else value)
                )
            except AssistantError:
                continue
    return dataclasses.replace(options, **changes)


def differences(options: GenerationOptions, default: GenerationOptions) -> dict[str, Any]:
    """Return the options that differ from the default."""
    values, usual = dataclasses.asdict(options), dataclasses.asdict(default)
    return {name: value for name, value in values.items() if value != usual[name]}


def shown_options(options: GenerationOptions) -> str:
    """Return the options on one line, for people; those that do nothing are left out."""
    neutral = dataclasses.asdict(GenerationOptions())
    parts = []
    for name, value in dataclasses.asdict(options).items():
        if name == "temperature":
            parts.append("greedy" if not value else f"temperature {value:g}")
        elif name == "stop" and len(value) > 2:
            parts.append(f"stops at any of {len(value)} texts")
        elif name == "stop":
            parts += [f"stops at {text!r}" for text in value]
        elif name == "max_tokens" or value != neutral[name]:
            number = f"{value:g}" if isinstance(value, float) else str(+value)
            parts.append(f"{name.replace('_', ' ')} {number}")
    return ", ".join(parts)
