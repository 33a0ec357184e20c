"""Fitting a conversation into the model's window by leaving out its oldest exchanges."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.chat import ChatModel
from assistant.conversation import Message
from assistant.errors import BadInputError

RESERVED_FOR_ANSWER = 256
"""Tokens kept free for the answer before anything older is given up for it."""
SHORTEST_ANSWER = 16
"""Tokens a question must leave free, or it is refused."""


def fit_window(
    system: Sequence[Message], messages: Sequence[Message], model: ChatModel, max_tokens: int
) -> tuple[list[Message], int]:
    """Return the prompt and how many of the oldest messages it leaves out.

    The system prompt and everything from the last question on stay. What is left begins with a
    question, so that no answer stands without its question.

    Raises:
        BadInputError: the last question alone is too long.
    """
    room = model.context_length - min(max_tokens, RESERVED_FOR_ANSWER)
    whole = [*system, *messages]
    if model.count_tokens(whole) <= room:
        return whole, 0
    questions = [n for n, message in enumerate(messages) if message.role == "user"]
    # From the newest question back: the cost is that of the window, however long the history is.
    kept: int | None = None
    for first in reversed(questions):
        if model.count_tokens([*system, *messages[first:]]) > room:
            break
        kept = first
    if kept is None:
        kept = questions[-1] if questions else 0
        used = model.count_tokens([*system, *messages[kept:]])
        if used + min(max_tokens, SHORTEST_ANSWER) > model.context_length:
            raise BadInputError(
                f"The question has {used} tokens, the model reads {model.context_length} "
                "with its answer",
                "Shorten it",
            )
    return [*system, *messages[kept:]], kept
