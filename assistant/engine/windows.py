"""How a classifier reads texts that are longer than it reads at once.

Training, evaluation and the runtime cut and pool with these same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.tokenizer import END_OF_TEXT

MOST_WINDOWS = 64
"""Windows after the first, at most; of a longer text they are read at even distances."""
CLEAR = 0.02
"""A first window below this probability needs no more than skimming: see ``Windows.skim``."""
SUSPICIOUS = 0.03
"""A skimmed passage from this probability on has the whole text read."""
SKIMMED, SKIMMED_TOKENS, SKIMMED_EVERY = 3, 64, 160
"""Passages that are skimmed of a text, at most; ids of each; for how many ids one is enough."""
GLANCED = (39, 20, 20)
"""Ids of a glance: from the beginning, the middle and the end of a text."""
WORTH_A_GLANCE = 120
"""Ids of the shortest text that is glanced at: of shorter ones nothing is saved."""
GLANCED_CLEAR = 0.01
"""A glance below this probability needs no more than skimming."""
GLANCED_CONVICTED = 0.5
"""A glance so far above the threshold (log-odds) convicts."""
GLANCED_SKIMMED, GLANCED_EVERY = 3, 250
"""Passages that are skimmed after a glance, at most; for how many ids one is enough."""
READING = 1
"""Which version of this file chooses what is read: raise it with any change, scores are kept."""


class Encoder(Protocol):
    """What is asked of a tokenizer here."""

    def encode(self, text: str) -> list[int]:
        """Return a text's ids."""

    def special(self, name: str) -> int:
        """Return the id of a special token."""


@dataclass(frozen=True)
class Windows:
    """A bundle's ``windows``.

    Attributes:
        tokens: ids of a window, the closing one included.
        stride: ids from the start of one window to that of the next.
        head_share: see ``encode_windows``.
        repeat_head: see ``encode_windows``.
        later_penalty: see ``discount_later``.
    """

    tokens: int
    stride: int
    head_share: float = 0.0
    repeat_head: int = 0
    later_penalty: float = 0.0

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Windows:
        """Read the JSON object; raises KeyError, TypeError or ValueError."""
        return cls(
            tokens=int(facts["tokens"]),
            stride=int(facts["stride"]),
            head_share=float(facts.get("head_share", 0.0)),
            repeat_head=int(facts.get("repeat_head", 0)),
            later_penalty=float(facts.get("later_penalty", 0.0)),
        )

    def cut(self, text: str, tokenizer: Encoder) -> list[list[int]]:
        """Return a text's windows, see ``encode_windows``."""
        return encode_windows(
            text, tokenizer, self.tokens, self.stride, self.head_share, self.repeat_head
        )

    def skim(self, text: str, tokenizer: Encoder) -> list[list[int]]:
        """Return short passages, at even distances, of what the first window leaves of a text.

        Most long texts are innocent from beginning to end, and so are head and tail: then these
        passages are read in place of the many other windows, and those only when one of these is
        suspicious.
        """
        room = self.tokens - 1
        head = round(room * self.head_share)
        return self._passages(text, tokenizer, head, room - head, SKIMMED, SKIMMED_EVERY)

    def glance(self, text: str, tokenizer: Encoder) -> list[int]:
        """Return one short window of a text's beginning, middle and end; empty where the text is
        short, or the windows are."""
        ids = tokenizer.encode(text)
        if len(ids) < WORTH_A_GLANCE or self.tokens < 2 * sum(GLANCED):
            return []
        head, size, tail = GLANCED
        middle = (head + len(ids) - tail - size) // 2
        pieces = [*ids[:head], *ids[middle : middle + size], *ids[len(ids) - tail :]]
        return [*pieces, tokenizer.special(END_OF_TEXT)]

    def skim_after_glance(self, text: str, tokenizer: Encoder) -> list[list[int]]:
        """Return short passages of what a glance leaves of a text; none of a single window."""
        if len(tokenizer.encode(text)) < self.tokens:
            return []
        head, _, tail = GLANCED
        return self._passages(text, tokenizer, head, tail, GLANCED_SKIMMED, GLANCED_EVERY)

    def _passages(
        self, text: str, tokenizer: Encoder, head: int, tail: int, most: int, every: int
    ) -> list[list[int]]:
        """Return up to ``most`` passages of what ``head`` and ``tail`` ids leave of a text."""
        ids = tokenizer.encode(text)
        repeated = _first_paragraph(text, tokenizer, self.repeat_head)
        size = min(SKIMMED_TOKENS, self.tokens - 1 - len(repeated), len(ids) - len(repeated))
        start, stop = max(head, len(repeated)), len(ids) - tail
        count = min(most, -(-(stop - start) // every))
        shares = [(2 * index + 1) / (2 * count) for index in range(count)]
        places = [start + round((stop - start) * share) - size // 2 for share in shares]
        places = [max(len(repeated), min(place, len(ids) - size)) for place in places]
        end = tokenizer.special(END_OF_TEXT)
        return [[*repeated, *ids[place : place + size], end] for place in places]


def encode_windows(
    text: str,
    tokenizer: Encoder,
    tokens: int,
    stride: int,
    head_share: float = 0.0,
    repeat_head: int = 0,
) -> list[list[int]]:
    """Cut a text into windows of at most ``tokens`` ids, each closed by END_OF_TEXT.

    The closing token is where a decoder is read: it has seen the whole window. An empty text
    is one window of that token alone.

    Args:
        stride: ids from the start of one window to that of the next.
        head_share: above 0, a text of several windows gets one more in front: this share of it
            the text's beginning, the rest its end, which is how training reads long texts.
        repeat_head: above 0 (with ``head_share``), the others share out what the first one
            leaves of the text, in place of ``stride``, at most ``MOST_WINDOWS`` of them, and each
            begins with the text's first paragraph, at most so many ids: a passage of a mail is
            judged with its sender and subject.
    """
    end = tokenizer.special(END_OF_TEXT)
    ids = tokenizer.encode(text)
    room = tokens - 1
    if len(ids) <= room:
        return [[*ids, end]]
    head = round(room * head_share)
    first = [*head_and_tail(ids, room, head_share), end]
    if head_share > 0 and repeat_head > 0:
        repeated = _first_paragraph(text, tokenizer, repeat_head)
        return [first, *_middle(ids, repeated, head, room, end)]
    starts = [0]
    while starts[-1] + room < len(ids):
        starts.append(starts[-1] + stride)
    # the last window ends with the text and is as long as the others: short tails say little
    starts[-1] = len(ids) - room
    windows = [[*ids[start : start + room], end] for start in starts]
    return [first, *windows] if head_share > 0 else windows


def head_and_tail(ids: list[int], room: int, head_share: float) -> list[int]:
    """Return at most ``room`` ids: of more, this share of them from the beginning, the rest from
    the end."""
    if len(ids) <= room:
        return ids
    head = round(room * head_share)
    return ids[:head] + ids[len(ids) - (room - head) :]


def _first_paragraph(text: str, tokenizer: Encoder, most: int) -> list[int]:
    paragraph, blank, _ = text.partition("\n\n")
    return tokenizer.encode(paragraph)[:most] if blank else []


def _middle(ids: list[int], repeated: list[int], head: int, room: int, end: int) -> list[list[int]]:
    """Return windows over what lies between ``head`` ids and a tail of ``room - head``."""
    size = room - len(repeated)
    start, stop = max(head, len(repeated)), len(ids) - (room - head)
    count = min(MOST_WINDOWS, max(1, -(-(stop - start) // size)))
    places = [start + (stop - start) * index // count for index in range(count)]
    # full windows, also where little is left to read: short ones say little
    places = [max(len(repeated), min(place, len(ids) - size)) for place in places]
    return [[*repeated, *ids[place : place + size], end] for place in places]


def by_text(
    margins: NDArray[np.float64], cut: Sequence[Sequence[Sequence[int]]]
) -> list[NDArray[np.float64]]:
    """Share the margins of all windows out to the texts they are of."""
    return np.split(margins, np.cumsum([len(windows) for windows in cut])[:-1])


def discount_later(margins: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return the margins of one text's windows, those after the first lowered by ``penalty``.

    A passage from the middle has no beginning: footers and quotes of good mail look worse than
    they are, so a later window needs more to convict.
    """
    return np.concatenate([margins[:1], margins[1:] - penalty])
