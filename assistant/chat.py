"""What front doors talk to: messages in, pieces of text out.

``ChatModel`` is a protocol, so that tests and plugin authors can put a scripted model
(``assistant.testing.ScriptedChatModel``) in the place of the real one
(``assistant.engine.chat_model.load_chat_model``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Literal, Protocol, runtime_checkable

from assistant.conversation import HandbookEntry, Message, Note

StopReason = Literal["end", "length", "stopped", "context"]


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is sampled; saved with each answer so that it can be replayed.

    Attributes:
        temperature: 0 is greedy.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches this (nucleus).
        min_p: drop tokens less probable than this times the most probable one.
        repetition_penalty: divides the logits of tokens seen in the answer (CTRL,
            https://arxiv.org/abs/1909.05858); 1 is off.
        no_repeat_ngram: no run of this many tokens comes twice in an answer
            (https://arxiv.org/abs/1705.04304), and none of half as many a third time: a small
            model's loops end; 0 is off.
        max_tokens: longest answer, in tokens.
        seed: of the sampler; None draws one.
        stop: texts that end the answer where they would begin.
        given_facts_only: an answer holds no link, address, phone number or amount but those that
            the person or their notes gave.
        copy_bonus: added to the logit of a token that goes on copying what was put before the
            question, a handbook entry or notes; 0 is off.
        quote_notes: an answer about notes cites the note that says it, and the sentences found
            that it leaves out are said behind it.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    max_tokens: int = 512
    seed: int | None = None
    stop: tuple[str, ...] = ()
    given_facts_only: bool = False
    copy_bonus: float = 0.0
    quote_notes: bool = False

    def __post_init__(self) -> None:
        # a bundle's JSON and a stored conversation hold a list
        object.__setattr__(self, "stop", tuple(self.stop))

    def updated(self, **changes: Any) -> GenerationOptions:
        """Return a copy with the given fields changed; None leaves a field as it is."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})


@dataclass(frozen=True)
class Chunk:
    """A piece of the answer: whole UTF-8 characters, control characters already removed."""

    text: str


@dataclass(frozen=True)
class Completion:
    """The last thing a stream yields.

    Attributes:
        stop_reason: "end" (the model ended by itself or met a stop text), "length" (max_tokens),
            "context" (the window is full) or "stopped" (the cancel event).
        time_to_first_token_ms: from the call to the first token, prefill included.
        tokens_per_second: output tokens after the first over the time they took; 0 when there
            were fewer than two.
    """

    text: str
    stop_reason: StopReason
    prompt_tokens: int
    output_tokens: int
    time_to_first_token_ms: float
    tokens_per_second: float


class ChatModel(Protocol):
    """A model one can talk to. Not safe for two streams at once; ``stream`` locks."""

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def context_length(self) -> int:
        """Longest prompt plus answer, in tokens."""

    @property
    def options(self) -> GenerationOptions:
        """The bundle's defaults."""

    @property
    def system_prompt(self) -> str:
        """The bundle's system prompt."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Number of tokens of the prompt these messages make."""

    def warm_up(self) -> None:
        """Read ahead what every question begins with; loading is done when this returns."""

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        """Yield chunks, then one Completion.

        Raises:
            BadInputError: the prompt leaves no room for an answer.
            ModelError: the model failed (NaN logits, out of memory).
        """


@runtime_checkable
class ReadsHandbook(Protocol):
    """What a model may offer beside ``ChatModel``: written answers it reads before it answers.

    Attributes:
        use_handbook: whether entries are looked for; may be changed.
    """

    use_handbook: bool

    def find_entries(self, questions: Sequence[str]) -> list[tuple[HandbookEntry, float]]:
        """Return entries for the last of a person's messages, best first, with their scores.

        Raises:
            ModelError: the handbook cannot be read.
        """


@runtime_checkable
class FindsPassages(Protocol):
    """What a model may offer beside ``ChatModel``: it reads only what a question is about."""

    def find_passages(
        self, questions: Sequence[str], notes: Sequence[Note]
    ) -> list[tuple[int, Note]] | None:
        """Return the passages of the notes that are nearest to the last of a person's messages,
        under the notes' numbers; none when none is near, None when it cannot tell.

        Raises:
            ModelError: what finds them cannot be read.
        """


@runtime_checkable
class ShowsTokens(Protocol):
    """What a model may offer beside ``ChatModel``: the prompt as it reads it."""

    def tokens(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """Return the tokens of the prompt these messages make: text, and whether it is special.

        Bytes of a character that is split between tokens show as U+FFFD.
        """
