"""A scripted model for tests and for authors of plugins: no weights, no waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event

from assistant.chat import Chunk, Completion, GenerationOptions, StopReason
from assistant.conversation import Message
from assistant.errors import BadInputError


@dataclass
class ScriptedChatModel:
    """Answers with the given texts, in turn, word by word; counts words as tokens.

    Attributes:
        answers: what it says; after the last it starts again. An Exception among them is raised.
        delay: seconds between words.
        prompts: every list of messages it was asked, for assertions.
    """

    answers: Sequence[str | Exception] = ("Hello! What can I help you with?",)
    delay: float = 0.0
    name: str = "scripted"
    context_length: int = 2048
    options: GenerationOptions = field(default_factory=GenerationOptions)
    system_prompt: str = "You are a scripted assistant."
    prompts: list[list[Message]] = field(default_factory=list)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Number of words."""
        return sum(len(message.content.split()) + 2 for message in messages)

    def tokens(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """The words, after a mark for each message's role."""
        parts: list[tuple[str, bool]] = []
        for message in messages:
            parts.append((f"<{message.role}>", True))
            parts += [(f" {word}", False) for word in message.content.split()]
            parts.append(("\n", True))
        return parts

    def warm_up(self) -> None:
        """Nothing to read ahead."""

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        """Yield the next scripted answer word by word."""
        answer = self.answers[len(self.prompts) % len(self.answers)]
        self.prompts.append(list(messages))
        prompt_tokens = self.count_tokens(messages)
        if prompt_tokens >= self.context_length:
            raise BadInputError(
                f"The prompt has {prompt_tokens} tokens, the model reads {self.context_length}",
                "Shorten it or start a new conversation",
            )
        if isinstance(answer, Exception):
            raise answer
        words = answer.split(" ")
        said: list[str] = []
        reason: StopReason = "end"
        for word in words:
            if cancel.is_set():
                reason = "stopped"
                break
            if len(said) >= options.max_tokens:
                reason = "length"
                break
            if self.delay:
                time.sleep(self.delay)
            text = word if not said else " " + word
            said.append(text)
            yield Chunk(text)
        yield Completion("".join(said), reason, prompt_tokens, len(said), 1.0, 100.0)
