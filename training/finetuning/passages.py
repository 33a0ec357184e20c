"""Chat examples about notes, whose last question carries the passages that the product finds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from assistant.conversation import Message, Note
from assistant.handbook.passages import PassageReader, passages
from assistant.handbook.reading import with_passages
from training.evaluation.behaviour import refuses
from training.evaluation.text_metrics import cited
from training.finetuning.handbook import Prompted

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w{2,}")


class PassageExamples:
    """Cuts conversations about notes behind each answer and puts passages before its question.

    Args:
        reader: its settings decide, as they will in the product; its encoder is asked once for
            every text.
    """

    def __init__(self, reader: PassageReader) -> None:
        self.reader = PassageReader(reader.encode, reader.settings, remembered=None)

    def prompted(self, messages: Sequence[Message]) -> list[Prompted]:
        """Return a conversation once for each answer.

        Args:
            messages: may begin with a system prompt; the first question carries the notes.
        """
        return [
            (self._example(messages[:end], answer), True)
            for end, answer in enumerate(messages)
            if answer.role == "assistant"
        ]

    def _example(self, messages: Sequence[Message], answer: Message) -> tuple[Message, ...]:
        """Put before a question what its answer needs.

        A small model cannot learn to tell a passage that answers from one that nearly does: it
        then refuses at random. So the search alone decides, and what it says is obeyed: with
        passages there is an answer, without there is none.
        """
        refusal = without_citations(answer.content)
        if not cited(answer.content) or refuses(refusal):
            asked = with_passages(messages, lambda questions, notes: [])
            return (*asked, Message("assistant", refusal))
        return (*with_passages(messages, partial(self._find, answer)), answer)

    def _find(
        self, answer: Message, questions: Sequence[str], notes: Sequence[Note]
    ) -> list[tuple[int, Note]]:
        """Find what the product would, and what the answer was taken from: a passage that is
        not there would have to be made up."""
        found = self.reader.find(questions, notes)
        said = _words(answer.content)
        for number in sorted(cited(answer.content)):
            mine = self._parts(notes, number)
            if mine:
                source = max(mine, key=lambda part: len(said & _words(part[1].text)))
                if source not in found:
                    found.append(source)
        return sorted(found, key=lambda each: each[0])

    def _parts(self, notes: Sequence[Note], number: int) -> list[tuple[int, Note]]:
        """Return the passages of one note; none when there is no such note."""
        return [
            (number, Note(note.title, " ".join(sentences)))
            for note in notes[number - 1 : number]
            for sentences in passages(note.text, self.reader.settings.words)
        ]


def without_citations(text: str) -> str:
    """Return the sentences of an answer that cite nothing; the whole of it when all cite."""
    sentences = _SENTENCE_END.split(text)
    kept = " ".join(sentence for sentence in sentences if not cited(sentence))
    return kept or text


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
