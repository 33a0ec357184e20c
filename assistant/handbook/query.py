"""What to look for, given a conversation.

A follow-up ("did that, nothing happened", "and on Android?") means little alone: it is looked
for together with the questions it goes back to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SHORT_WORDS = 12
"""A follow-up of at most this many words is taken to depend on what was asked before."""
_REFERS_BACK = re.compile(
    r"\b(?:it|its|it's|that|that's|this|these|those|they|them|there|one|ones|same|still|again"
    r"|also|either|neither|too|else|instead|then|now|first|second|other|another|both)\b"
    r"|^(?:and|but|or|so|no|nope|yes|yeah|ok|okay|what about|how about|what if)\b",
    re.IGNORECASE,
)


def search_text(questions: Sequence[str]) -> str:
    """Return the text to look for, from a person's messages, oldest first.

    The last message alone when it stands for itself; otherwise the ones it goes back to in
    front of it: of a long chain the first, which names the matter, and the newest two.
    """
    if not questions:
        return ""
    first = len(questions) - 1
    while first > 0 and depends_on_earlier(questions[first]):
        first -= 1
    chain = [" ".join(question.split()) for question in questions[first:]]
    if len(chain) > 3:
        chain = [chain[0], *chain[-2:]]
    return " ".join(chain)


def depends_on_earlier(question: str) -> bool:
    """Whether a later message of a conversation is short or refers back."""
    words = question.split()
    # A pronoun near the start points back; far into a long message it points within it.
    opening = " ".join(words[:SHORT_WORDS])
    return len(words) <= SHORT_WORDS or _REFERS_BACK.search(opening) is not None
