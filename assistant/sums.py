"""Sums in a question, worked out by the program: a small language model guesses them.

Only plain arithmetic is read: numbers, + - * / and their words, brackets, powers, percentages
("15% of 80", "80 + 19%"). What is anything else is left to the model.
"""

from __future__ import annotations

import re
from decimal import Decimal, DecimalException, localcontext

SUM = "sum"
"""Id of the entry that holds a result, where handbook entries have theirs."""
LONGEST = 200
"""Characters of a question that can be a sum."""
_DIGITS = 28
_LARGEST_POWER = 100
_LARGEST_RESULT = Decimal(10) ** 15
_LEAD = re.compile(
    r"^(?:please\s+)?(?:hi|hello|hey)?[,!\s]*(?:can you\s+|could you\s+)?(?:please\s+)?"
    r"(?:(?:what(?:'s|s| is| are| does| do)|how much (?:is|are|does)|calculate|compute|work out|"
    r"add up|solve|tell me)\s+)*",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"(?:\s*(?:make|equal(?:s)?|come to|please|thanks|=|\?|!|\.))*\s*$", re.IGNORECASE
)
_WORDS = [
    (re.compile(r"\b(?:percent|per cent)\b", re.I), "%"),
    (re.compile(r"\bdivided by\b|\bover\b|÷", re.I), "/"),
    (re.compile(r"\bmultiplied by\b|\btimes\b|[×·]|(?<=\d)\s*x\s*(?=\d)", re.I), "*"),
    (re.compile(r"\bplus\b|\band\b", re.I), "+"),
    (re.compile(r"\bminus\b|\bless\b|[−–]", re.I), "-"),
    (re.compile(r"\bto the power of\b|\*\*", re.I), "^"),
    (re.compile(r"\bsquared\b|²", re.I), "^2"),
    (re.compile(r"\bcubed\b|³", re.I), "^3"),
]
# A date, a telephone number, a reference: no sum unless somebody asks for one.
_NUMBERED = re.compile(r"\d+(?:[-/]\d+)+")
_CURRENCY = re.compile(r"[€$£]|\b(?:euros?|dollars?|pounds?|eur|usd|gbp)\b", re.I)
_TOKEN = re.compile(r"\s*(?:(\d[\d,]*\.?\d*|\.\d+)|(of\b)|([-+*/^()%]))", re.I)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def worked_out(question: str) -> str | None:
    """Return the sum that a question asks for with its result, "15% of 80 is 12."; None when it
    asks for none, or for one without a result."""
    if len(question) > LONGEST or not re.search(r"\d", question):
        return None
    whole = " ".join(question.split())
    asked = _TAIL.sub("", _LEAD.sub("", whole, count=1))
    if asked == whole and _NUMBERED.fullmatch(asked):
        return None
    currency = {sign.lower() for sign in _CURRENCY.findall(asked)}
    plain = _CURRENCY.sub("", asked) if len(currency) == 1 else asked
    for pattern, sign in _WORDS:
        plain = pattern.sub(f" {sign} " if sign != "%" else "%", plain)
    tokens = _tokens(plain)
    if tokens is None or not any(sign in tokens for sign in ("+", "-", "*", "/", "^", "of")):
        return None
    try:
        with localcontext() as context:
            context.prec = _DIGITS
            result = _Reader(tokens).whole()
            if abs(result) >= _LARGEST_RESULT:
                return None
            return f"{asked} is {_written(result, currency)}."
    except (_NoSumError, DecimalException, RecursionError):
        return None


class _NoSumError(ValueError):
    pass


def _tokens(text: str) -> list[str] | None:
    tokens, place = [], 0
    text = text.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        number, of, sign = match.groups()
        if number and "," in number and not _THOUSANDS.fullmatch(number):
            return None  # a comma for a point, or a list: not to be guessed
        tokens.append(number.replace(",", "") if number else "of" if of else sign)
        place = match.end()
    return tokens


class _Reader:
    """Recursive descent: sum, product, power, percentage, number."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._place = tokens, 0

    def whole(self) -> Decimal:
        value = self._sum()
        if self._place != len(self._tokens):
            raise _NoSumError
        return value

    def _next(self, *wanted: str) -> str | None:
        if self._place < len(self._tokens) and self._tokens[self._place] in wanted:
            self._place += 1
            return self._tokens[self._place - 1]
        return None

    def _sum(self) -> Decimal:
        value, _ = self._product()
        while sign := self._next("+", "-"):
            other, share = self._product()
            if share:  # 80 + 19%: of what stands before
                other *= value
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> tuple[Decimal, bool]:
        """Return a product, and whether it is a bare percentage."""
        value, share = self._power()
        while sign := self._next("*", "/", "of"):
            if sign == "of" and not share:
                raise _NoSumError
            other, _ = self._power()
            value, share = (value / other if sign == "/" else value * other), False
        return value, share

    def _power(self) -> tuple[Decimal, bool]:
        sign = -1 if self._next("-") else 1
        base = self._number()
        if self._next("^"):
            exponent = self._number()
            if abs(exponent) > _LARGEST_POWER:
                raise _NoSumError
            base = base**exponent
        share = self._next("%") is not None
        return sign * (base / 100 if share else base), share

    def _number(self) -> Decimal:
        if self._next("("):
            value = self._sum()
            if not self._next(")"):
                raise _NoSumError
            return value
        if self._place < len(self._tokens) and self._tokens[self._place][0] in "0123456789.":
            self._place += 1
            return Decimal(self._tokens[self._place - 1])
        raise _NoSumError


def _written(value: Decimal, currency: set[str]) -> str:
    """Return a number without needless digits, with the currency of the question."""
    exact = value.quantize(Decimal("0.01")) if currency else round(value, 6)
    about = "about " if exact != value else ""
    text = f"{exact:,f}"
    if not currency:
        text = text.rstrip("0").rstrip(".") if "." in text else text
    sign = next(iter(currency), "")
    if text in ("-0", "-0.00"):
        text = text[1:]
    return about + (f"{sign}{text}" if sign in "€$£" else f"{text} {sign}")
