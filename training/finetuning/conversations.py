"""Dialogues as training examples: read, split by item, ``asks`` expanded, encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.conversation import (
    DEFAULT_SYSTEM_PROMPT,
    ROLES,
    Message,
    Note,
    encode_conversation,
    grounded_question,
)
from assistant.tokenizer import Tokenizer
from training.data.broken import Broken
from training.datasets import DIALOGUE_FILES, WRITTEN
from training.datasets.jsonl import find_files, read_rows
from training.datasets.splits import Split, split_of


@dataclass(frozen=True)
class Dialogue:
    """One item: a conversation, and other ways to ask its first question."""

    key: str
    source: str
    messages: tuple[Message, ...]
    asks: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    topic: str = ""

    @property
    def split(self) -> Split:
        """Decided by the key alone, so an item's ``asks`` never part."""
        return split_of(self.key)

    def variants(self, system_prompt: str) -> list[tuple[Message, ...]]:
        """Return the conversation once for each way to ask, system prompt in front.

        Notes are part of the first question (``assistant.conversation.grounded_question``).
        """
        has_system = self.messages[0].role == "system"
        start = list(self.messages[:1]) if has_system else []
        if not has_system and system_prompt:
            start = [Message("system", system_prompt)]
        first, *rest = self.messages[has_system:]
        found = []
        for question in (first.content, *self.asks):
            asked = grounded_question(question, self.notes) if self.notes else question
            found.append((*start, Message("user", asked), *rest))
        return found


@dataclass(frozen=True)
class DialogueData:
    """Which dialogues are used."""

    files: tuple[str, ...] = ()
    """JSON Lines files or folders; rows hold messages (role, content), and may hold asks and
    context. None: the dialogues in training/datasets."""
    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    """Put in front of every conversation that has none."""
    max_per_source: int = 0
    """Dialogues used of one file; 0: all."""
    max_broken: int = 100
    """Broken rows that are skipped before it becomes an error: no JSON, a wrong role, an empty
    text, an id that was there before."""

    @property
    def paths(self) -> list[Path]:
        """The files, folders replaced by what they hold; raises ValueError."""
        ours = [WRITTEN / f"{stem}.jsonl" for stem in DIALOGUE_FILES]
        return find_files(self.files or ours)


def load_dialogues(data: DialogueData, broken: Broken | None = None) -> list[Dialogue]:
    """Read dialogues; rows without messages (our own mail, in the same folder) are left out.

    Args:
        broken: counts the rows that cannot be used; by default as ``data`` allows.

    Raises:
        BadInputError: more broken rows than allowed, the last one by file:line.
        ValueError: no dialogue at all.
    """
    broken = broken or Broken(data.max_broken, setting="data.max_broken")
    dialogues: list[Dialogue] = []
    first: dict[str, str] = {}
    for path in data.paths:
        count = 0
        for place, row in read_rows(path, broken):
            if "messages" not in row:
                continue
            if data.max_per_source and count >= data.max_per_source:
                break
            try:
                dialogue = _dialogue(place, row, path)
                if first.setdefault(dialogue.key, place) != place:
                    raise ValueError(f"id {dialogue.key!r} was there before: {first[dialogue.key]}")
            except ValueError as error:
                broken.add(place, str(error))
                continue
            count += 1
            dialogues.append(dialogue)
    if not dialogues:
        raise ValueError(f"No dialogue in {', '.join(str(path) for path in data.paths)}")
    return dialogues


def _dialogue(place: str, row: dict[str, Any], path: Path) -> Dialogue:
    """Return a row's dialogue; ValueError says why there is none."""
    stem = path.name.partition(".")[0]
    try:
        messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
        notes = tuple(Note(str(n["title"]), str(n["text"])) for n in row.get("context", ()))
        asks = tuple(row.get("asks", ()))
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected messages with role and content ({error})") from error
    roles = [str(message.role) for message in messages]
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise ValueError(f"unknown role {', '.join(sorted(unknown))}")
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        raise ValueError(
            f"roles are {', '.join(roles) or 'none'}; expected user and assistant in turn, the "
            "assistant last"
        )
    for number, text in enumerate([*(message.content for message in messages), *asks], start=1):
        if not isinstance(text, str) or not text.strip():
            what = f"message {number}" if number <= len(roles) else f"ask {number - len(roles)}"
            raise ValueError(f"the text of {what} is empty")
    key = str(row["id"]) if "id" in row else f"{stem}:{place.rpartition(':')[2]}"
    source = str(row.get("source") or stem).partition("/")[0]
    return Dialogue(key, source, messages, asks, notes, str(row.get("topic", "")))


@dataclass(frozen=True)
class Example:
    """An encoded conversation: ids and where the loss counts (1), both of the same length."""

    ids: tuple[int, ...]
    counted: tuple[int, ...]


def encode_example(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    max_tokens: int,
    last_answer_only: bool = False,
) -> Example | None:
    """Encode a conversation, cut at ``max_tokens``; None when no counted token is left.

    Args:
        last_answer_only: count the loss of the last answer, not of the earlier ones.
    """
    ids, counted = encode_conversation(messages, tokenizer)
    if last_answer_only:
        before = len(encode_conversation(messages[:-1], tokenizer)[0])
        counted[:before] = [0] * before
    ids, counted = ids[:max_tokens], counted[:max_tokens]
    return Example(tuple(ids), tuple(counted)) if any(counted[1:]) else None
