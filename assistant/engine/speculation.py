"""Prompt lookup: guess the next tokens by finding where the last ones stood before.

Answers from notes copy names, numbers and whole sentences. When the last tokens of the text stood
earlier in it, what followed there is a guess at what follows here; checking a few guessed tokens
in one step costs far less than computing them one by one. Guesses decide only what is computed
together, never what is chosen: each token is sampled from its own logits, and the first that
differs ends the guess. https://arxiv.org/abs/2304.04487, prompt lookup:
https://github.com/apoorvumang/prompt-lookup-decoding
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

SHORTEST_MATCH = 3
LONGEST_MATCH = 16
LONGEST_GUESS = 7
# Earlier places looked at for one guess; common phrases have many.
PLACES = 8


class PromptLookup:
    """Guesses continuations of a growing text."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        # Each run of SHORTEST_MATCH tokens: the positions right after it, ascending.
        self._places: dict[tuple[int, ...], list[int]] = defaultdict(list)
        self.extend(tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens to the text."""
        for token in tokens:
            # The run that ends before this token is entered now that something follows it.
            if len(self._tokens) >= SHORTEST_MATCH:
                run = tuple(self._tokens[-SHORTEST_MATCH:])
                self._places[run].append(len(self._tokens))
            self._tokens.append(token)

    def guess(self, limit: int) -> list[int]:
        """Return at most ``limit`` tokens that may follow; none when nothing matches.

        The longer the match, the longer the guess: a copied sentence has matched all along, a
        chance match of three words is worth two tokens.
        """
        text = self._tokens
        places = self._places.get(tuple(text[-SHORTEST_MATCH:]), [])
        best, longest = 0, 0
        for place in reversed(places[-PLACES:]):
            length = self._match(place)
            if length > longest:
                best, longest = place, length
        count = min(limit, LONGEST_GUESS, longest - 1)
        return text[best : best + count] if count > 0 else []

    def _match(self, place: int) -> int:
        """Length of the run before ``place`` that equals the end of the text."""
        text, end = self._tokens, len(self._tokens)
        length = 0
        while (
            length < min(LONGEST_MATCH, place)
            and text[place - 1 - length] == text[end - 1 - length]
        ):
            length += 1
        return length
