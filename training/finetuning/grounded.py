"""More grounded examples than were written: other orders, foreign notes, notes taken away.

An answer cites its notes as [n]. Where they stand must not matter, notes of somebody else must
not disturb, and without the note that answers there is no answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from assistant.conversation import Message, Note
from training.datasets import WRITTEN
from training.datasets.jsonl import read_rows
from training.datasets.splits import split_unit
from training.evaluation.text_metrics import cited
from training.finetuning.conversations import Dialogue

REFUSALS = WRITTEN / "refusals.jsonl"
_CITATION = re.compile(r"\[(\d+)\]")
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class GroundedConfig:
    """Settings of the changes to dialogues with notes, drawn anew each epoch."""

    share: float = 0.0
    """Share of them changed at all: notes in another order, citations renumbered."""
    distractors: int = 3
    """Most notes of other organisations added to a changed one; 0 to this many are drawn."""
    max_notes: int = 6
    """Notes after which no more are added."""
    refusals: float = 0.15
    """Share of the changed ones that lose the note they cite; the answer becomes a refusal.
    Only where a single answer cites a single note."""


class GroundedVariants:
    """Draws changed dialogues; the distractors come from the dialogues it is given.

    Args:
        dialogues: of the training split; those without notes are of no use here.
    """

    def __init__(self, dialogues: Sequence[Dialogue], config: GroundedConfig) -> None:
        self.config = config
        by_place: dict[tuple[str, str], tuple[str, Note]] = {}
        for dialogue in dialogues:
            for note in dialogue.notes:
                place = (split_unit(dialogue.key), note.title)
                by_place.setdefault(place, (dialogue.topic, note))
        self._pool = [(unit, *found) for (unit, _), found in by_place.items()]

    def draw(self, dialogue: Dialogue, draw: random.Random) -> Dialogue:
        """Return the dialogue, changed or as it is."""
        if not dialogue.notes or draw.random() >= self.config.share:
            return dialogue
        numbers_cited = citations(dialogue.messages)
        alone = len(numbers_cited) == 1 and len(dialogue.messages) == 2
        if alone and draw.random() < self.config.refusals:
            return self._without_answer(dialogue, numbers_cited, draw)
        order: list[Note | int] = list(range(len(dialogue.notes)))
        order += self._distractors(dialogue, draw, draw.randint(0, self.config.distractors))
        draw.shuffle(order)
        numbers = {old: place + 1 for place, old in enumerate(order) if isinstance(old, int)}
        notes = tuple(dialogue.notes[n] if isinstance(n, int) else n for n in order)
        return replace(
            dialogue,
            messages=tuple(_renumbered(message, numbers) for message in dialogue.messages),
            notes=notes,
        )

    def _without_answer(self, dialogue: Dialogue, cited: set[int], draw: random.Random) -> Dialogue:
        notes = [note for n, note in enumerate(dialogue.notes, start=1) if n not in cited]
        least = 0 if notes else 1
        count = draw.randint(least, max(least, self.config.distractors))
        notes += self._distractors(dialogue, draw, count)
        if not notes:
            return dialogue
        draw.shuffle(notes)
        question = dialogue.messages[0]
        refusal = draw.choice(refusals()).replace("{topics}", _topics(notes))
        return replace(
            dialogue, messages=(question, Message("assistant", refusal)), notes=tuple(notes)
        )

    def _distractors(self, dialogue: Dialogue, draw: random.Random, count: int) -> list[Note]:
        """Draw notes of other organisations in other trades that say nothing on the matter."""
        count = min(count, self.config.max_notes - len(dialogue.notes))
        unit, spoken = split_unit(dialogue.key), " ".join(m.content for m in dialogue.messages)
        near = _stems(" ".join([spoken, *dialogue.asks, *(note.title for note in dialogue.notes)]))
        found: list[Note] = []
        for place in draw.sample(range(len(self._pool)), len(self._pool)):
            if len(found) >= count:
                break
            other, topic, note = self._pool[place]
            if other == unit or (topic and topic == dialogue.topic) or note in found:
                continue
            if not near & _stems(note.title):
                found.append(note)
        return found


def citations(messages: Sequence[Message]) -> set[int]:
    """Return the numbers of the notes that the answers cite."""
    answers = [message.content for message in messages if message.role == "assistant"]
    return {number for answer in answers for number in cited(answer)}


@cache
def refusals() -> tuple[str, ...]:
    """Return the written refusals; ``{topics}`` stands for what the notes are about."""
    return tuple(str(row["text"]) for _, row in read_rows(REFUSALS))


def _renumbered(message: Message, numbers: Mapping[int, int]) -> Message:
    if message.role != "assistant":
        return message

    def new(match: re.Match[str]) -> str:
        number = numbers.get(int(match[1]) - 1)
        return match[0] if number is None else f"[{number}]"

    return Message(message.role, _CITATION.sub(new, message.content))


def _stems(text: str) -> set[str]:
    return {word[:5].lower() for word in _WORD.findall(text)}


def _topics(notes: Sequence[Note]) -> str:
    """Titles as a list within a sentence: "late fees, loan periods and eSIM"."""
    titles = []
    for note in notes:
        first, space, rest = note.title.partition(" ")
        titles.append((first if first[1:] != first[1:].lower() else first.lower()) + space + rest)
    *most, last = titles
    return f"{', '.join(most)} and {last}" if most else last
