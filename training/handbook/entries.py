"""Entries from written dialogues: those of the training split alone.

What validates or tests a model never stands in its handbook, nor do answers grounded in notes:
those notes belong to one organisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assistant.conversation import HandbookEntry
from assistant.handbook.query import search_text
from training.finetuning.conversations import Dialogue

OWN_TEXTS = frozenset({"facts", "sum", "write"})
"""Topics whose answers are made of what that one person wrote: no answer to anybody else."""


def handbook_entries(dialogues: Sequence[Dialogue]) -> list[HandbookEntry]:
    """Return an entry for each answer of the training dialogues that carry no notes.

    The answer to a later turn is asked for by what the search makes of the questions so far.
    """
    return [
        entry
        for dialogue in dialogues
        if dialogue.split == "train" and not dialogue.notes and _is_general(dialogue)
        for entry in _entries(dialogue)
    ]


def _is_general(dialogue: Dialogue) -> bool:
    return dialogue.topic.partition("/")[0] not in OWN_TEXTS


def _entries(dialogue: Dialogue) -> Iterator[HandbookEntry]:
    spoken = [message for message in dialogue.messages if message.role != "system"]
    questions: list[str] = []
    for turn, (asked, answered) in enumerate(zip(spoken[::2], spoken[1::2], strict=True)):
        questions.append(asked.content)
        yield HandbookEntry(
            id=dialogue.key if turn == 0 else f"{dialogue.key}.{turn + 1}",
            topic=dialogue.topic,
            question=search_text(questions),
            answer=answered.content.strip(),
            asks=dialogue.asks if turn == 0 else (),
        )
