"""Changing training mail so that the model looks at what is said, not at who collected it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from assistant.engine import windows
from assistant.engine.windows import Windows, encode_windows
from assistant.tokenizer import END_OF_TEXT, Tokenizer

HEAD_SHARE = 0.75
"""Share of the tokens of a long text that its head gets; the tail gets the rest."""
REPEAT_SHARE = 3 / 16
"""Share of a later window that the text's first paragraph, sender and subject, gets at most."""
_CHARACTERS_PER_TOKEN = 24
"""Text beyond this many characters a token cannot reach the head or the tail."""


@dataclass(frozen=True)
class Augmentation:
    """How often a training text is changed."""

    drop_from: float = 0.0
    """Chance that the From line is left out."""
    drop_from_of: dict[str, float] = field(default_factory=dict)
    """drop_from for single sources, where senders give the corpus away."""
    drop_subject: float = 0.0
    """Chance that the Subject line is left out."""
    window: float = 0.0
    """Chance that of a long text one window is read, as at inference, not its head and tail."""
    window_positive: float = 0.0
    """The same for texts with the positive label. Best well below: a passage from the middle of
    spam is often innocent, and would teach that any passage may be spam."""
    padding: float = 0.0
    """Chance that a positive text is diluted with a passage of a negative one."""
    padding_characters: int = 600
    """Longest such passage. The text's own beginning must stay within reach: more than a few
    hundred characters only where several windows are read."""
    drop_tokens: float = 0.0
    """Largest share of its tokens that a text loses, drawn anew for each: what is learned of many
    words holds for mail from elsewhere, what hangs on one word of a corpus does not
    (https://arxiv.org/abs/1511.06349)."""


def drop_headers(text: str, names: Sequence[str]) -> str:
    """Return the text without the header lines of these names (above the first blank line)."""
    head, blank, body = text.partition("\n\n")
    prefixes = tuple(f"{name}: " for name in names)
    if not blank or not prefixes:
        return text
    lines = [line for line in head.split("\n") if not line.startswith(prefixes)]
    return "\n".join(lines) + blank + body


def dilute(text: str, innocent: str, draw: random.Random, longest: int = 600) -> str:
    """Return the text with a passage of another's body before or behind its own body."""
    passage = innocent.partition("\n\n")[2] or innocent
    length = draw.randint(80, max(80, longest))
    start = draw.randint(0, max(0, len(passage) - length))
    passage = passage[start : start + length].strip()
    return diluted(text, passage, in_front=draw.random() >= 0.5)


def diluted(text: str, innocent: str, in_front: bool) -> str:
    """Return the text with innocent words behind or in front of its body, headers on top."""
    head, blank, body = text.partition("\n\n")
    if not blank:
        head, body = "", text
    return head + blank + (f"{innocent}\n{body}" if in_front else f"{body}\n{innocent}")


def head_and_tail(text: str, tokenizer: Tokenizer, tokens: int) -> list[int]:
    """Encode to at most ``tokens`` ids, the last one END_OF_TEXT; the middle of a long one goes."""
    ids = tokenizer.encode(_within_reach(text, tokens))
    kept = windows.head_and_tail(ids, tokens - 1, HEAD_SHARE)
    return [*kept, tokenizer.special(END_OF_TEXT)]


def windows_of(tokens: int) -> Windows:
    """Return how inference reads texts of more than ``tokens`` tokens."""
    repeat_head = round(tokens * REPEAT_SHARE)
    return Windows(tokens, tokens - 1, head_share=HEAD_SHARE, repeat_head=repeat_head)


def every_window(text: str, tokenizer: Tokenizer, tokens: int) -> list[list[int]]:
    """Encode the windows in which inference reads the text, the middle of a very long one gone."""
    return windows_of(tokens).cut(_within_reach(text, tokens), tokenizer)


def some_windows(
    text: str, tokenizer: Tokenizer, tokens: int, count: int, draw: random.Random
) -> list[list[int]]:
    """Encode at most ``count`` of the windows in which inference reads the text, the first among
    them: its head and tail."""
    first, *others = every_window(text, tokenizer, tokens)
    return [first, *draw.sample(others, min(count - 1, len(others)))]


def _within_reach(text: str, tokens: int) -> str:
    """Return a text without the middle of a very long one."""
    reach = tokens * _CHARACTERS_PER_TOKEN
    return text[:reach] + text[-reach:] if len(text) > 2 * reach else text


def without_some(ids: list[int], share: float, draw: random.Random) -> list[int]:
    """Return ids of which each is left out with a chance of ``share``; the last one stays."""
    return [*(token for token in ids[:-1] if draw.random() >= share), ids[-1]]


def one_window(text: str, tokenizer: Tokenizer, tokens: int, draw: random.Random) -> list[int]:
    """Encode one of the windows in which inference reads the text."""
    return draw.choice(encode_windows(text, tokenizer, tokens, tokens))
