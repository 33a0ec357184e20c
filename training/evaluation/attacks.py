"""Disguises that leave a mail readable: what they cost a classifier in recall and false alarms."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from assistant.plugin_api import Classifier
from training.finetuning.labelled_text import LabelledText

Disguise = Callable[[str, random.Random], str]
_HOMOGLYPHS = str.maketrans("aceopxyiABEHKMOPCTX", "асеорхуіАВЕНКМОРСТХ")
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_WORD = re.compile(r"[A-Za-z]{4,}")
SHARE = 0.3
"""Share of the words of four letters and more that are disguised."""


def _words(change: Callable[[str, random.Random], str]) -> Disguise:
    def disguise(text: str, draw: random.Random) -> str:
        return _WORD.sub(
            lambda match: change(match[0], draw) if draw.random() < SHARE else match[0], text
        )

    return disguise


def _leet(word: str, draw: random.Random) -> str:
    # first and last letter stay, as people do it to keep a word readable
    return word[0] + word[1:-1].translate(_LEET) + word[-1]


ATTACKS: dict[str, Disguise] = {
    "homoglyphs": _words(lambda word, draw: word.translate(_HOMOGLYPHS)),
    "zero-width characters": _words(lambda word, draw: "\u200b".join(word)),
    "leet": _words(_leet),
    "spaced-out words": _words(lambda word, draw: " ".join(word)),
}


def disguised(text: str, name: str, key: str) -> str:
    """Return a canonical text with subject and body disguised; the From line stays."""
    draw = random.Random(f"{name}:{key}")  # noqa: S311
    head, blank, body = text.partition("\n\n")
    lines = [
        f"Subject: {ATTACKS[name](line[9:], draw)}" if line.startswith("Subject: ") else line
        for line in head.split("\n")
    ]
    return "\n".join(lines) + blank + ATTACKS[name](body, draw)


def attack_figures(
    classifier: Classifier,
    texts: Sequence[LabelledText],
    normalize: Callable[[dict[str, Any]], str],
) -> dict[str, dict[str, float]]:
    """Return recall and false-positive rate without a disguise and under each.

    Args:
        normalize: what the product does to a mail's text before the classifier reads it.
    """
    positive = np.array([text.label == 1 for text in texts])
    figures = {}
    for name in ("none", *ATTACKS):
        changed = [
            text.text if name == "none" else disguised(text.text, name, text.key) for text in texts
        ]
        scores = classifier.score([normalize({"text": text}) for text in changed])
        p = np.array([score.probability for score in scores])
        flagged = p >= classifier.unsure[1]
        figures[name] = {
            "n": float(len(texts)),
            "recall": float(flagged[positive].mean()) if positive.any() else 0.0,
            "false_positive_rate": float(flagged[~positive].mean()) if not positive.all() else 0.0,
        }
    return figures
