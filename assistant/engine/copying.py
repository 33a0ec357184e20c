"""What was put before a question is copied rather than retold.

A small model that retells a written answer, or a fact of a note, changes it for the worse. Its own
choice decides where an answer begins; once its last tokens stand in the source, the token that
goes on there gets a bonus (a fixed copy distribution, after pointer networks,
https://arxiv.org/abs/1704.04368). Where what the model wants is much more probable, it still wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assistant.engine.quoting import Quotes

SHORTEST_RUN, LONGEST_RUN = 2, 8
"""Tokens that must stand in the source; of longer runs no more are compared."""

SETTLED = 1000.0
"""More than any logit."""


class CopyBonus:
    """Says which tokens would go on copying.

    Args:
        source: tokens of what may be copied.
        bonus: added to a token's logit; half of it for the shortest run.
        excepted: tokens that never get it.
    """

    def __init__(
        self, source: Sequence[int], bonus: float, excepted: Callable[[int], bool]
    ) -> None:
        self._source, self._bonus, self._excepted = source, bonus, excepted

    def of(self, answer: Sequence[int]) -> dict[int, float]:
        """Return the tokens that follow the longest run in the source which ends the answer,
        each with its bonus; none when no run is long enough."""
        longest, found = SHORTEST_RUN, set[int]()
        for place in range(len(self._source) - 1):
            length = self._run(place, answer)
            if length < longest:
                continue
            if length > longest:
                longest, found = length, set()
            found.add(self._source[place + 1])
        bonus = self._bonus / 2 if longest == SHORTEST_RUN else self._bonus
        return {token: bonus for token in found if not self._excepted(token)}

    def _run(self, place: int, answer: Sequence[int]) -> int:
        """Return how many tokens up to a place of the source equal the answer's last ones."""
        length = 0
        while (
            length < min(LONGEST_RUN, place + 1, len(answer))
            and self._source[place - length] == answer[-1 - length]
        ):
            length += 1
        return length


class CitationBonus:
    """Settles the number of a citation that an answer has opened.

    Args:
        quotes: what was put before the question.
        others: says which tokens are likelier elsewhere.
        encode: a text to its tokens.
        decode: tokens to their text.
    """

    def __init__(
        self,
        quotes: Quotes,
        others: CopyBonus | None,
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self._quotes, self._others, self._encode, self._decode = quotes, others, encode, decode

    def of(self, answer: Sequence[int]) -> dict[int, float]:
        """Return the first token of the number behind an opened bracket, and what others say."""
        found = self._others.of(answer) if self._others is not None else {}
        if answer and self._decode(answer[-1:]).endswith("["):
            number = self._quotes.note(self._decode(answer))
            if number is not None:
                return {self._encode(str(number))[0]: SETTLED}
        return found
