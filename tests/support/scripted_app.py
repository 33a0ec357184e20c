"""The interface in a process of its own, over a scripted model: for tests of faults.

``python -m tests.support.scripted_app KIND`` with KIND naming how the model answers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from threading import Event

from assistant.chat import Chunk, Completion, GenerationOptions
from assistant.conversation import Message
from assistant.testing import ScriptedChatModel
from assistant.tui import app as app_module

CONTROLS = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e[red]inert[/] " + "".join(map(chr, range(32)))


class Endless(ScriptedChatModel):
    """Never ends by itself."""

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        """Count until it is stopped."""
        number = 0
        while not cancel.is_set():
            number += 1
            yield Chunk(f"number{number} " + ("\n\n" if number % 40 == 0 else ""))
            time.sleep(0.002)
        yield Completion("", "stopped", 1, number, 1.0, 500.0)


class Soak(ScriptedChatModel):
    """Says of every answer which it is, in all kinds of Markdown."""

    turn = 0

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        """Answer at once."""
        self.turn += 1
        self.prompts.clear()  # or they would be what grows
        text = f"Open **settings**, then:\n\n1. one\n2. two\n\n```\ncode\n```\n\n{'word ' * 40}"
        self.answers = (f"{text}turn{self.turn}done",)
        return super().stream(messages, options, cancel)


def model(kind: str) -> ScriptedChatModel:
    """Return the model of a kind."""
    if kind == "endless":
        return Endless()
    if kind == "soak":
        return Soak()
    if kind == "controls":
        return ScriptedChatModel((CONTROLS,))
    if kind == "raising":
        return ScriptedChatModel((RuntimeError("the engine\x1b[31m broke"), "well again"))
    words = " ".join(f"word{n}" for n in range(3000 if kind == "wordy" else 400))
    if kind == "wordy":
        return ScriptedChatModel(
            (words,), delay=0.001, options=GenerationOptions(max_tokens=10_000)
        )
    return ScriptedChatModel((words,), delay=0.02 if kind == "slow" else 0.0)


if __name__ == "__main__":
    app_module.model_loader = lambda _name, handbook=True: lambda: model(sys.argv[1])  # type: ignore[assignment]
    sys.exit(app_module.run_app())
