"""The prompt with handbook entries in it, and where they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.chat import ChatModel, FindsPassages, ReadsHandbook
from assistant.conversation import (
    HandbookEntry,
    Message,
    Note,
    handbook_question,
    is_about_notes,
    passages_question,
    read_grounded_question,
)
from assistant.errors import TooLongError
from assistant.sums import SUM
from assistant.text import sanitize_line
from assistant.window import fit_window


@dataclass(frozen=True)
class Source:
    """A handbook entry the model read before it answered.

    Attributes:
        title: the question the entry answers.
        score: how close it is to what was asked, a cosine.
    """

    id: str
    title: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored with the answer."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Prompt:
    """What is sent to the model.

    Attributes:
        dropped: how many of the oldest messages were left out.
        sources: the entries in front of the last question.
    """

    messages: list[Message]
    dropped: int
    sources: tuple[Source, ...] = ()


def fitted_prompt(
    system: Sequence[Message], messages: Sequence[Message], model: ChatModel, max_tokens: int
) -> Prompt:
    """Put handbook entries before the last question, if any fit, and fit it all in the window.

    Entries give way before a question is refused. A conversation about notes of the person's
    own reads those alone, and of them the passages that the last question is about.

    Raises:
        TooLongError: the last question alone is too long.
        ModelError: the handbook cannot be read.
    """
    if isinstance(model, FindsPassages):
        messages = with_passages(messages, model.find_passages)
    found = _entries(messages, model)
    while found:
        asked = with_entries(messages, [entry for entry, _ in found])
        try:
            prompt, dropped = fit_window(system, asked, model, max_tokens)
        except TooLongError:
            found = found[:-1]
            continue
        sources = tuple(Source(e.id, e.question, round(score, 4)) for e, score in found)
        return Prompt(prompt, dropped, sources)
    return Prompt(*fit_window(system, messages, model, max_tokens))


def _entries(messages: Sequence[Message], model: ChatModel) -> list[tuple[HandbookEntry, float]]:
    questions = [message.content for message in messages if message.role == "user"]
    if any(is_about_notes(question) for question in questions):
        return []
    if not isinstance(model, ReadsHandbook) or not model.use_handbook:
        return []
    if not questions:
        return []
    return model.find_entries(questions)


PassageFinder = Callable[[Sequence[str], Sequence[Note]], list[tuple[int, Note]] | None]
"""A person's messages and the notes, to passages; see ``assistant.chat.FindsPassages``."""


def with_passages(messages: Sequence[Message], find: PassageFinder) -> list[Message]:
    """Return a conversation about notes whose last question alone carries passages of them.

    The newest notes count; any other conversation is returned as it is.
    """
    notes: list[Note] = []
    plain: list[Message] = []
    for message in messages:
        asked = read_grounded_question(message.content) if message.role == "user" else None
        if asked is None:
            plain.append(message)
            continue
        question, notes = asked
        plain.append(Message("user", question))
    if not notes:
        return list(messages)
    last = max(n for n, message in enumerate(plain) if message.role == "user")
    questions = [message.content for message in plain[: last + 1] if message.role == "user"]
    passages = find(questions, notes)
    if passages is None:
        return list(messages)
    plain[last] = Message("user", passages_question(questions[-1], passages, notes))
    return plain


def with_entries(messages: Sequence[Message], entries: Sequence[HandbookEntry]) -> list[Message]:
    """Return a conversation whose last question carries entries."""
    last = max(n for n, message in enumerate(messages) if message.role == "user")
    asked = Message("user", handbook_question(messages[last].content, entries))
    return [*messages[:last], asked, *messages[last + 1 :]]


def handbook_line(statistics: Mapping[str, Any]) -> str:
    """Return the quiet line that says what an answer was read from, or empty.

    Args:
        statistics: of a stored answer.
    """
    listed = statistics.get("sources")
    sources = [s for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []
    if any(source.get("id") == SUM for source in sources):
        return "Worked out by the program"
    titles = [sanitize_line(str(source.get("title", "")), 60) for source in sources]
    return f"Handbook: {' | '.join(titles)}" if titles else ""


def leave_handbook(model: ChatModel) -> None:
    """Make a model answer without its handbook."""
    if isinstance(model, ReadsHandbook):
        model.use_handbook = False
