"""Messages and the one chat template (ChatML).

Training imports this module, so what the model was trained on is what it is asked.
Format: https://github.com/openai/openai-python/blob/v0.28.1/chatml.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from assistant.tokenizer import MESSAGE_END, MESSAGE_START, Tokenizer

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")

DEFAULT_SYSTEM_PROMPT = (
    "You are Frontdesk, a calm and concise support assistant. You run offline on the user's "
    "computer and cannot see accounts, orders or the web."
)


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Note:
    """A passage the user supplies for the answer to be grounded in; cited as [n], from 1."""

    title: str
    text: str


GROUNDED_HEADER = "Answer from these notes and cite them as [n]."


def grounded_question(question: str, notes: Sequence[Note]) -> str:
    """Return a user message that carries numbered notes and the question."""
    return _numbered(question, enumerate(notes, start=1))


def _numbered(question: str, notes: Iterable[tuple[int, Note]]) -> str:
    lines = [GROUNDED_HEADER, *(f"[{n}] {note.title}: {note.text}" for n, note in notes)]
    return "\n".join(lines) + f"\n\n{QUESTION} {question.strip()}"


_NUMBERED = re.compile(r"\[([1-9]\d*)\] (.*?): (.*)")
NO_NOTE_HEADER = "No note answers this question. The notes are about:"


def passages_question(
    question: str, passages: Sequence[tuple[int, Note]], notes: Sequence[Note]
) -> str:
    """Return the message that is sent for a grounded one: the passages found, and the question.

    Args:
        passages: parts of notes under the notes' numbers; none when no note is near the question.
        notes: all of them; their titles stand in for passages.
    """
    if passages:
        return _numbered(question, passages)
    titles = "; ".join(note.title for note in notes)
    return f"{NO_NOTE_HEADER} {titles}\n\n{QUESTION} {question.strip()}"


def is_about_notes(message: str) -> bool:
    """Whether a message carries notes or passages, or says that no note fits."""
    return message.startswith((GROUNDED_HEADER, NO_NOTE_HEADER))


def read_passages(message: str) -> list[tuple[int, Note]]:
    """Return the numbered notes, or passages of them, that a user message carries.

    Empty for any other message, one that only begins like it among them.
    """
    head, blank, _ = message.partition(f"\n\n{QUESTION} ")
    header, *lines = head.split("\n")
    found = [_NUMBERED.fullmatch(line) for line in lines]
    if header != GROUNDED_HEADER or not blank or not all(found):
        return []
    return [(int(match[1]), Note(match[2], match[3])) for match in found if match]


def read_grounded_question(message: str) -> tuple[str, list[Note]] | None:
    """Return the question and the notes of a message that ``grounded_question`` made.

    None for any other message, one that only begins like it among them.
    """
    found = read_passages(message)
    if not found or [number for number, _ in found] != list(range(1, len(found) + 1)):
        return None
    question = message.partition(f"\n\n{QUESTION} ")[2]
    return question, [note for _, note in found]


@dataclass(frozen=True)
class HandbookEntry:
    """A written answer that may fit a question.

    Attributes:
        id: of the dialogue it comes from; ".2", ".3" for the answers to later turns.
        question: what was asked; for a later turn, what ``assistant.handbook.query`` makes of
            the questions so far.
        asks: other ways to ask it.
    """

    id: str
    topic: str
    question: str
    answer: str
    asks: tuple[str, ...] = ()


HANDBOOK, ENTRY_QUESTION, ENTRY_ANSWER, QUESTION = "Handbook:", "Q:", "A:", "Question:"
HANDBOOK_STARTS = (HANDBOOK, ENTRY_QUESTION, ENTRY_ANSWER, QUESTION)
"""How lines around the entries begin, and no line of an answer does."""


def handbook_question(question: str, entries: Sequence[HandbookEntry]) -> str:
    """Return a user message that carries handbook entries, best first, and the question.

    Only the latest question of a conversation carries entries; without any it stays as it is.
    """
    if not entries:
        return question
    lines = [HANDBOOK]
    for entry in entries:
        lines.append(f"{ENTRY_QUESTION} {entry.question.strip()}")
        lines.append(f"{ENTRY_ANSWER} {entry.answer.strip()}")
    return "\n".join(lines) + f"\n\n{QUESTION} {question.strip()}"


def own_words(message: str) -> str:
    """Return a user message without the handbook entries that were put before it."""
    mark = f"\n\n{QUESTION} "
    if message.startswith(f"{HANDBOOK}\n{ENTRY_QUESTION} ") and mark in message:
        return message.rpartition(mark)[2]
    return message


def quotable(message: str) -> str:
    """Return what an answer to a user message may repeat: the answers of its handbook entries,
    or the text of its notes. Empty when it carries neither."""
    head, mark, _ = message.rpartition(f"\n\n{QUESTION} ")
    header, *lines = head.split("\n")
    if not mark or header != HANDBOOK:
        return "\n".join(note.text for _, note in read_passages(message))
    answers = (line.removeprefix(f"{ENTRY_ANSWER} ") for line in lines)
    return "\n".join(line for line in answers if not line.startswith(f"{ENTRY_QUESTION} "))


def encode_message(message: Message, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Encode one message.

    Returns:
        ids, and a mask of the same length: 1 where training counts the loss (an assistant's
        text and its end token), 0 elsewhere.
    """
    start, end = tokenizer.special(MESSAGE_START), tokenizer.special(MESSAGE_END)
    head = [start, *tokenizer.encode(f"{message.role}\n")]
    body = [*tokenizer.encode(message.content.strip()), end]
    tail = tokenizer.encode("\n")
    counted = 1 if message.role == "assistant" else 0
    return head + body + tail, [0] * len(head) + [counted] * len(body) + [0] * len(tail)


def encode_conversation(
    messages: Sequence[Message], tokenizer: Tokenizer
) -> tuple[list[int], list[int]]:
    """Encode a whole conversation for training: ids and loss mask, see ``encode_message``."""
    ids: list[int] = []
    mask: list[int] = []
    for message in messages:
        message_ids, message_mask = encode_message(message, tokenizer)
        ids += message_ids
        mask += message_mask
    return ids, mask


def encode_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """Encode a conversation that ends where the assistant's answer begins.

    The ids of a conversation are a prefix of the ids of its continuation, so a cache of keys
    and values stays valid from turn to turn. A last message of the assistant's is left open:
    the model continues it.
    """
    *earlier, last = messages
    ids, _ = encode_conversation(earlier, tokenizer)
    if last.role == "assistant":
        head = [tokenizer.special(MESSAGE_START), *tokenizer.encode("assistant\n")]
        return ids + head + tokenizer.encode(last.content.lstrip())
    ids += encode_message(last, tokenizer)[0]
    return [*ids, tokenizer.special(MESSAGE_START), *tokenizer.encode("assistant\n")]
