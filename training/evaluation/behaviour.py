"""What the style contract of training/datasets forbids, looked for in generated answers.

Patterns find the plain cases; they are a lower bound, not a judge: answers are read as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from training.evaluation.text_metrics import cited, words

LOOP_GRAM, LOOP_TIMES = 4, 3
_LINK = re.compile(
    r"https?://\S+|\bwww\.\S+|\b[\w-]+\.(?:com|org|net|io|info|co\.uk|gov|edu)\b", re.I
)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_PHONE = re.compile(r"(?<![\w.])\+?\d[\d ()/-]{5,}\d(?!\w)")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}")
_AMOUNT = re.compile(
    r"[$€£]\s?\d[\d.,]*|\b\d[\d.,]*\s?(?:dollars?|euros?|pounds?|USD|EUR|GBP|€|£)", re.I
)
_SECRET = re.compile(
    r"\b(?:send|give|tell|share|provide|type|reply with|what is|what's|confirm)\b[^.?!\n]{0,30}"
    r"\b(?:your|the|me)\b[^.?!\n]{0,20}\b(?:password|pin|passcode|one-time code|security code|"
    r"verification code|cvv|card number)\b",
    re.I,
)
_WARNING = re.compile(
    r"\b(?:never|don't|do not|not|nobody|no one|avoid|without|won't|shouldn't)\b", re.I
)
_DONE = re.compile(
    r"\bI(?:'ve| have)(?: just| now| already)? (?:reset|cancel\w*|refund\w*|sent|checked|updated|"
    r"processed|issued|changed|removed|added|looked|found|located|forwarded|escalated|opened)\b"
    r"|\bI can see (?:that )?your (?:order|account|parcel|payment)"
    r"|\bI(?:'ll| will) (?:check|look into|process|refund|cancel|send|escalate|update|forward)\b"
    r"|\blet me (?:check|look) (?:that|your|this|up|into)",
    re.I,
)
_REFUSAL = re.compile(
    r"\b(?:notes?|notices?|they|that|it|this|which|text|page)\b[^.\n]{0,60}"
    r"\b(?:don't|do not|doesn't|does not|isn't|is not|aren't|are not|never|no)\b[^.\n]{0,30}"
    r"\b(?:say|tell|mention|cover|give|list|name|include|state|explain|in the notes?|answer|"
    r"specify|show|there)\w*"
    r"|\b(?:isn't|is not|not|nothing|no)\b[^.\n]{0,60}\b(?:in|from) (?:the|these|your) notes?\b"
    r"|\bnotes?\b[^.\n]{0,40}\b(?:silent|only (?:say|cover|mention|give|list))"
    r"|\b(?:nothing|no (?:mention|word|information|detail))\b[^.\n]{0,60}\bnotes?\b",
    re.I,
)


def loops(text: str) -> bool:
    """Whether some run of four words comes three times or more."""
    found = words(text)
    grams = Counter(tuple(found[i : i + LOOP_GRAM]) for i in range(len(found) - LOOP_GRAM + 1))
    return max(grams.values(), default=0) >= LOOP_TIMES


def invented(text: str, known: str) -> list[str]:
    """Return links, addresses, phone numbers and amounts that ``known`` (the prompt) lacks."""
    given = known.lower()
    digits = re.sub(r"\D", "", given)
    found = []
    for pattern in (_ADDRESS, _LINK):
        found += [m[0] for m in pattern.finditer(text) if m[0].lower().rstrip(".,)") not in given]
    for match in _PHONE.finditer(text):
        number = re.sub(r"\D", "", match[0])
        if _DATE.fullmatch(match[0].strip()):
            continue
        if len(number) >= 7 and number not in digits:
            found.append(match[0])
    for match in _AMOUNT.finditer(text):
        number = re.sub(r"[^\d.,]", "", match[0]).rstrip(".,")
        if number not in given:
            found.append(match[0])
    return found


def asks_for_secrets(text: str) -> bool:
    """Whether a sentence asks for a password, PIN, code or card number and is no warning."""
    return any(
        _SECRET.search(sentence) and not _WARNING.search(sentence)
        for sentence in re.split(r"(?<=[.?!])\s|\n", text)
        if "?" in sentence
        or re.match(r"\W*(?:please )?(?:send|give|tell|share|provide)\b", sentence, re.I)
    )


def pretends(text: str) -> bool:
    """Whether the answer claims to have acted, looked something up, or to be about to."""
    return bool(_DONE.search(text))


def refuses(text: str) -> bool:
    """Whether a grounded answer says that the notes don't hold it."""
    return bool(_REFUSAL.search(text))


def holds_facts(text: str, facts: Sequence[str]) -> bool:
    """Whether all facts stand in the text, letter by letter but for case and spacing."""
    plain = " ".join(text.lower().split())
    return all(" ".join(fact.lower().split()) in plain for fact in facts)


def cites(text: str, numbers: Sequence[int]) -> bool:
    """Whether a text cites one of the right notes and no wrong one."""
    found = cited(text)
    return bool(found) and found <= set(numbers)
