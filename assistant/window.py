"""Fitting a conversation into the model's window: its oldest exchanges go, then what one says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from assistant.chat import ChatModel
from assistant.conversation import Message
from assistant.errors import TooLongError

Part = Literal["start", "end"]
RESERVED_FOR_ANSWER = 256
"""Tokens kept free for the answer before anything older is given up for it."""
SHORTEST_ANSWER = 16
"""Tokens a question must leave free, or it is refused."""


def fit_window(
    system: Sequence[Message], messages: Sequence[Message], model: ChatModel, max_tokens: int
) -> tuple[list[Message], int]:
    """Return the prompt and how many of the oldest messages it leaves out.

    The system prompt and everything from the last question on stay. What is left begins with a
    question, so that no answer stands without its question. It begins where a passage of about a
    quarter of the window begins, so that the next few prompts begin there too: the model has
    their beginning read already.

    Raises:
        TooLongError: the last question alone is too long.
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
            raise TooLongError(used, model.context_length)
    kept = next((n for n in _passages(messages, room) if n >= kept), kept)
    return [*system, *messages[kept:]], kept


def _passages(messages: Sequence[Message], characters: int) -> list[int]:
    """Return the questions at which passages begin, each of about so many characters.

    They depend only on what stands before them: a conversation that grows keeps them. Four
    characters are about a token.
    """
    found: list[int] = []
    said, passage = 0, -1
    for n, message in enumerate(messages):
        if message.role == "user" and said // max(1, characters) > passage:
            passage = said // max(1, characters)
            found.append(n)
        said += len(message.content)
    return found


def shortened(text: str, keep: Part, fits: Callable[[str], bool], fixed: int = 0) -> str:
    """Return as much of a text as fits, its start or its end; "" when nothing does.

    Args:
        fits: tells whether a text fits; the shorter the text, the sooner it does.
        fixed: characters at the start that stay in any case, a question before a quote.
    """
    head, body = text[:fixed], text[fixed:]

    def cut(length: int) -> str:
        if keep == "start":
            return head + body[:length].rstrip()
        return head + body[len(body) - length :].lstrip()

    fitting, too_long = 0, len(body) + 1
    if not fits(cut(0)):
        return ""
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        if fits(cut(middle)):
            fitting = middle
        else:
            too_long = middle
    return cut(fitting)
