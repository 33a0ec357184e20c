"""Chat examples about notes, whose last question carries the sentences that the product finds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from assistant.conversation import Message, Note
from assistant.handbook.passages import PassageReader
from assistant.handbook.reading import with_passages
from training.evaluation.behaviour import refuses
from training.evaluation.text_metrics import cited
from training.finetuning.handbook import Prompted
from training.finetuning.sources import answer_sources, note_sentences

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class PassageExamples:
    """Cuts conversations about notes behind each answer and puts sentences before its question.

    Args:
        reader: its settings decide, as they will in the product; its encoder is asked once for
            every text.
    """

    def __init__(self, reader: PassageReader) -> None:
        self.reader = PassageReader(
            reader.encode, reader.settings, remembered=None, look=reader.look
        )

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

        A small model cannot learn to tell a sentence that answers from one that nearly does: it
        then refuses at random. So the search alone decides, and what it says is obeyed: with
        sentences there is an answer, without there is none.
        """
        refusal = without_citations(answer.content)
        if not cited(answer.content) or refuses(refusal):
            asked = with_passages(messages, lambda questions, notes: [])
            return (*asked, Message("assistant", refusal))
        return (*with_passages(messages, partial(self._find, answer)), answer)

    def _find(
        self, answer: Message, questions: Sequence[str], notes: Sequence[Note]
    ) -> list[tuple[int, Note]]:
        """Find what the product would, and what the answer was taken from: a sentence that is
        not there would have to be made up."""
        parts = note_sentences(notes)
        needed = {(parts[n][0], parts[n][2]) for n in answer_sources(answer.content, parts)}
        return self.reader.find(questions, notes, needed)


def without_citations(text: str) -> str:
    """Return the sentences of an answer that cite nothing; the whole of it when all cite."""
    sentences = _SENTENCE_END.split(text)
    kept = " ".join(sentence for sentence in sentences if not cited(sentence))
    return kept or text
