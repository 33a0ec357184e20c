"""Is this paste an e-mail? A fast guess from its shape; nothing is parsed."""

from __future__ import annotations

import re

from plugins.email_spam.shapes import HeaderBlock, find_header_block, unquoted

_READ = 8000  # characters; the interface's thread waits for the answer
_GREETING = re.compile(
    r"(?:dear|hi|hello|hey|good (?:morning|day|afternoon)|attention|greetings|sehr geehrte[rs]?|"
    r"bonjour|estimad[oa]|beste|caro|gentile)(?: [\w.'@&,-]+){0,6}\s*[,!:.]?$",
    re.IGNORECASE,
)
_IMPERSONAL = re.compile(
    r"\bdear (?:valued |esteemed )?(?:customers?|clients?|users?|members?|friend|"
    r"beloved|winner|account (?:holder|owner)|subscriber|e-?mail (?:user|owner))\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:(?:kind|best|warm) (?:regards|wishes)|regards|sincerely|yours (?:truly|faithfully|"
    r"sincerely)|cheers|many thanks|thank you)(?:[,.!]|$)",
    re.IGNORECASE,
)
_MASS_MAIL = re.compile(
    r"\bunsubscribe\b|view (?:this (?:e-?mail|message)|it) in (?:your|a) browser|"
    r"you (?:are receiving|received|get) this (?:e-?mail|message|mail)? ?because|"
    r"(?:do not|don't) reply to this (?:e-?mail|message)|"
    r"this is an automat(?:ic|ed) (?:e-?mail|message)",
    re.IGNORECASE,
)
_CALL_TO_ACTION = re.compile(
    r"\bclick (?:here|below|the (?:link|button))|\bverify your\b|\bconfirm your\b|"
    r"\bupdate your (?:payment|account|billing|details)|\byour account (?:has been|will be|is)\b|"
    r"\bclaim your\b|\byou(?:'ve| have) (?:won|been (?:chosen|selected))\b|\bact now\b",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://|hxxps?://|\bwww\.", re.IGNORECASE)
_ATTRIBUTION = re.compile(r"^(?:On|Am|Le) .{6,120} (?:wrote|schrieb .{1,60}|a écrit) ?:$")
# What programs write. One such line among the first is enough to doubt body shapes.
_PROGRAM = re.compile(
    r"^\s*(?:Traceback \(most recent|File \"|def |class |import |from \S+ import |function |"
    r"[{}\[\]]|#include|#!|\$ |>>> |\d{4}-\d\d-\d\d[T ]\d\d:\d\d|- \w+:|<\?xml|SELECT )",
)


def email_confidence(text: str) -> float:
    """Return how likely a pasted text is an e-mail, in [0, 1]; from 0.5 on it is offered."""
    lines = [line.strip() for line in unquoted(text[:_READ].strip()).split("\n")]
    if not lines or not lines[0]:
        return 0.0
    block = find_header_block(lines)
    shape = _body_shape(lines)
    return max(_header_confidence(block), shape) if block is not None else shape


def _header_confidence(block: HeaderBlock) -> float:
    names = block.values.keys()
    sender = block.values.get("from", "")
    score = 0.0
    if "@" in sender or (block.capitalised and sender):
        score += 0.4
    score += 0.25 * ("subject" in names) + 0.1 * bool(names & {"date", "sent"})
    score += 0.15 * bool(names & {"to", "cc"})
    transport = names & {"received", "return-path", "message-id", "mime-version", "delivered-to"}
    score += 0.4 * bool(transport and len(names) > 1)
    if block.forwarded:
        score += 0.4
    if not block.capitalised:  # configuration files have from: and to: as well
        score *= 0.5
    if block.start > 2 and not block.forwarded:
        score *= 0.8
    return min(1.0, score)


def _body_shape(lines: list[str]) -> float:
    """Score a body without headers: greeting, call to action, closing, small print."""
    if any(_PROGRAM.match(line) for line in lines[:5]):
        return 0.0
    text = "\n".join(lines)
    filled = [line for line in lines if line]
    score = 0.0
    impersonal = bool(_IMPERSONAL.search(text[:400]))
    if impersonal or any(_GREETING.match(line) for line in filled[:4]):
        # A greeting on a line of its own with a paragraph after it is how letters begin.
        score += 0.2 + 0.15 * impersonal + 0.05 * ("" in lines[:4] and len(filled) > 3)
    if any(_CLOSING.match(line) for line in filled[-8:]):
        score += 0.1
    if len(lines) > 4 and len(filled[-1].split()) <= 4 and not filled[-1].endswith(("?", ":")):
        score += 0.05  # signed
    if _MASS_MAIL.search(text):
        score += 0.35
    if _CALL_TO_ACTION.search(text):
        score += 0.2
    if _URL.search(text):
        # People put a link into a sentence, mailings put it on a line.
        alone = any(_URL.match(line) and " " not in line for line in lines)
        score += 0.15 + 0.1 * alone
    quoting = sum(line.startswith(">") for line in lines)
    if quoting >= 2 and any(_ATTRIBUTION.match(line) for line in lines):
        score += 0.5
    return min(0.9, score)
