"""Answers about notes hold the sentences they are taken from, word for word and rightly cited.

Which sentences a question is about is known before the answer begins (``assistant.handbook.
passages``). A small model says one of them and leaves out the other fact that was asked for, or
cites the wrong number. So the number is settled by what the sentence says, and sentences that an
answer has left out are said behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.conversation import read_passages
from assistant.handbook.sentences import sentences

SAID = 0.75
"""Share of a sentence's words that an answer holds when it has said it."""
_CITED = re.compile(r"\[(\d+)\]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_WORD = re.compile(r"[\w€$£%][\w€$£%.,:'-]*\w|[\w€$£]")


class Quotes:
    """The sentences put before a question about notes, the nearest first.

    Args:
        question: the user's message as it is sent; one without passages has no quotes.
    """

    def __init__(self, question: str) -> None:
        self.sentences: Sequence[tuple[int, str]] = [
            (number, text)
            for number, note in read_passages(question)
            for text in sentences(note.text)
        ]

    def note(self, said: str) -> int | None:
        """Return the number to cite behind the unfinished sentence that ends an answer: of the
        note that shares most of its words. None when it shares none."""
        words = _words(_SENTENCE.split(said)[-1])
        shares = [len(words & _words(text)) for _, text in self.sentences]
        if not any(shares):
            return None
        return self.sentences[shares.index(max(shares))][0]

    def left_out(self, answer: str) -> list[str]:
        """Return the sentences that an answer has not said, each cited.

        Only of the note that is nearest to the question and of those that the answer cites; the
        nearest one in any case when it cites nothing.
        """
        if not self.sentences:
            return []
        words = _words(answer)
        cited = {int(number) for number in _CITED.findall(answer)}
        nearest = self.sentences[0]
        return [
            _with_citation(text, number)
            for number, text in self.sentences
            if number in {nearest[0], *cited}
            and (
                len(_words(text) & words) < SAID * len(_words(text))
                or (not cited and (number, text) == nearest)
            )
        ]


def _with_citation(sentence: str, number: int) -> str:
    end = sentence[-1] if sentence[-1] in ".!?" else ""
    return f"{sentence.removesuffix(end)} [{number}]{end or '.'}"


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(_CITED.sub("", text))}
