"""Links, addresses, phone numbers and amounts that nobody gave are never said.

A small model makes such things up, or copies one from an example; each looks right and is not.
What the person and the notes gave is known, so a token that would begin another one is ruled out
while the answer is being written (constrained decoding). Numbers of steps, of days or of percent
stay free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_REACH = 80
"""Characters at the end of an answer that are looked at; longer things were refused before."""
_NUMBER = re.compile(r"\d[\d.,]*")
_LINK = re.compile(r"(?:https?:/|www\.)\S*|[\w.+-]+@[\w.-]*", re.IGNORECASE)
_DOMAIN = re.compile(
    r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|info|co\.uk|gov|edu|example)\b", re.IGNORECASE
)
_AMOUNT = re.compile(
    r"[$€£]\s?(?P<before>\d[\d.,]*)?"
    r"|(?P<after>\d[\d.,]*)\s?(?:dollars?|euros?|pounds?|cents?|USD|EUR|GBP|€|£)",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<![\w.,:$€£])\+?\d[\d ()/-]*\d")
_PHONE_DIGITS = 5
"""Digits after which a run that begins with 0 or has gaps must be one that was given."""
_WORTH_A_LOOK = re.compile(r"[\d$€£@]|www|http|\.[a-z]", re.IGNORECASE)


class GivenFacts:
    """Tells which texts hold a thing that was not given.

    Args:
        given: what the person wrote, and their notes.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._known = "\n".join(given).lower()
        self._digits = re.sub(r"\D", "", self._known)
        self._numbers = {number.rstrip(".,") for number in _NUMBER.findall(self._known)}

    def invents(self, text: str) -> bool:
        """Whether a text holds, or its end begins, a thing that was not given.

        The end may still grow, so what stands there need only be how a given thing begins.
        """
        tail = text[-_REACH:]
        if len(text) > _REACH:  # half a number would be another one
            tail = tail.partition(" ")[2]
        if not _WORTH_A_LOOK.search(tail):
            return False
        return (
            any(self._not_said(match[0]) for match in _LINK.finditer(tail))
            or any(self._not_said(match[0]) for match in _DOMAIN.finditer(tail))
            or any(self._foreign_amount(match, tail) for match in _AMOUNT.finditer(tail))
            or any(self._foreign_phone(match[0]) for match in _PHONE.finditer(tail))
        )

    def _not_said(self, thing: str) -> bool:
        return thing.lower().rstrip(".,;:!?)*_`\"'") not in self._known

    def _foreign_amount(self, match: re.Match[str], tail: str) -> bool:
        number = match["before"] or match["after"]
        if match["after"] is None and match[0][0] not in self._known:
            return True
        if number is None:
            return False
        number = number.rstrip(".,")
        grows = match["before"] is not None and match.end() == len(tail)
        if grows:
            return not any(known.startswith(number) for known in self._numbers)
        return number not in self._numbers

    def _foreign_phone(self, run: str) -> bool:
        digits = re.sub(r"\D", "", run)
        if run[0] == "+":
            least = 2
        elif run[0] == "0" or not run.isdigit():
            least = _PHONE_DIGITS
        else:
            least = _PHONE_DIGITS + 2
        return len(digits) >= least and digits not in self._digits


class InventionGuard:
    """Follows an answer's tokens and tells which may come next.

    Args:
        decode: a token to its bytes.
    """

    def __init__(self, facts: GivenFacts, decode: Callable[[int], bytes]) -> None:
        self._facts, self._decode = facts, decode
        self._said = b""

    def allows(self, token: int) -> bool:
        """Whether the answer may go on with a token."""
        said = self._said + self._decode(token)
        if not self._facts.invents(said.decode("utf-8", "replace")):
            return True
        # what stands there already cannot be mended, and must not rule everything out
        return self._facts.invents(self._said.decode("utf-8", "replace"))

    def said(self, token: int) -> None:
        """Go past a token that was chosen."""
        # four bytes a character at most: what is forgotten lies out of reach
        self._said = (self._said + self._decode(token))[-4 * _REACH :]
