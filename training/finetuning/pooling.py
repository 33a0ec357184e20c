"""How the windows of a long text decide together: how much more a later one needs to convict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from assistant.engine.windows import discount_later
from training.evaluation.metrics import recall_at_fpr
from training.finetuning.augmentation import diluted
from training.finetuning.labelled_text import LabelledText

POSITIVE = 1
LATER_PENALTIES = tuple(step / 4 for step in range(21))
"""Penalties of windows after the first that are tried, in margin units."""
RECALL_GIVEN = 0.005
"""Share of the positive texts that may be lost for finding padded ones."""
PADDING = 2000
"""Characters of innocent text in front of a padded one."""
MOST_PADDED = 150


def largest(margins: Sequence[NDArray[np.float64]], later_penalty: float) -> NDArray[np.float64]:
    """Return the margin that counts of each text: the largest, later windows discounted."""
    return np.array([discount_later(own, later_penalty).max() for own in margins])


def choose_later_penalty(
    positive: NDArray[np.bool_],
    margins: Sequence[NDArray[np.float64]],
    padded: Sequence[NDArray[np.float64]],
    budget: float,
) -> float:
    """Return the penalty that finds most padded texts within a false-positive budget.

    Only penalties that cost the texts as they are next to nothing are taken. Of equals it is the
    middle one, farthest from those that find less or flag more.

    Args:
        padded: margins of positive texts with innocent ones in front; may be empty.
    """

    def recalls(penalty: float) -> tuple[float, float]:
        margin = largest(margins, penalty)
        behind = np.concatenate([largest(padded, penalty), margin[~positive]])
        return (
            recall_at_fpr(positive, margin, budget),
            recall_at_fpr(np.arange(len(behind)) < len(padded), behind, budget) if padded else 0,
        )

    found = {penalty: recalls(penalty) for penalty in LATER_PENALTIES}
    best = max(plain for plain, _ in found.values())
    cheap = [p for p, (plain, _) in found.items() if plain >= best - RECALL_GIVEN]
    most = max(found[penalty][1] for penalty in cheap)
    equal = [penalty for penalty in cheap if found[penalty][1] == most]
    return equal[len(equal) // 2]


def padded_texts(texts: Sequence[LabelledText]) -> list[LabelledText]:
    """Return positive texts, each with another passage of the negative ones in front."""
    innocent = "\n".join(t.text.partition("\n\n")[2] for t in texts if t.label != POSITIVE)
    chosen = [text for text in texts if text.label == POSITIVE][:MOST_PADDED]
    step = max(0, len(innocent) - PADDING) // max(1, len(chosen))
    return [
        replace(text, text=diluted(text.text, innocent[n * step :][:PADDING], in_front=True))
        for n, text in enumerate(chosen)
    ]
