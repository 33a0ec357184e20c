"""A classification checkpoint as a classifier with the runtime's semantics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from assistant.engine.classifier import similar_lengths
from assistant.engine.windows import CLEAR, SUSPICIOUS, Windows, by_text, discount_later
from assistant.plugin_api import Score
from training.checkpoint import Checkpoint
from training.device import autocast
from training.finetuning.calibration import Calibration
from training.finetuning.length_buckets import pad
from training.model import SequenceClassifier

BATCH_TOKENS = 16_384


@torch.no_grad()
def window_margins(
    classifier: SequenceClassifier, windows: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Return logit(positive) - logit(other) of each window; the positive label is the last."""
    device = classifier.score.weight.device
    result = np.zeros(len(windows))
    for chosen in similar_lengths([len(window) for window in windows], BATCH_TOKENS):
        ids, lengths = pad([windows[index] for index in chosen])
        with autocast(device):
            logits = classifier(ids.to(device), lengths.to(device))
        result[chosen] = (logits[:, -1] - logits[:, 0]).float().cpu().numpy()
    return result


def text_margins(
    classifier: SequenceClassifier, cut: Sequence[Sequence[Sequence[int]]]
) -> list[NDArray[np.float64]]:
    """Return the margins of each text's windows, for texts cut by ``Windows.cut``."""
    if not cut:
        return []
    was_training = classifier.training
    classifier.eval()
    margins = window_margins(classifier, [window for windows in cut for window in windows])
    classifier.train(was_training)
    return by_text(margins, cut)


class CheckpointClassifier:
    """Scores texts by a checkpoint; implements ``assistant.plugin_api.Classifier``."""

    def __init__(self, checkpoint: Checkpoint, name: str = "checkpoint") -> None:
        """Take what export would take.

        Raises:
            ValueError: the checkpoint is no classifier, or has not been calibrated yet.
        """
        if checkpoint.classifier is None:
            raise ValueError(f"{name} is a {checkpoint.task} checkpoint, not a classifier")
        try:
            facts = checkpoint.extra
            self.calibration = Calibration(**facts["calibration"])
            self.threshold = float(facts["threshold"])
            low, high = facts["unsure"]
            self.unsure = (float(low), float(high))
            self._windows = Windows.of(facts["windows"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} holds no calibrated classifier: its training has not ended; "
                "go on with --resume"
            ) from error
        self.name, self._checkpoint = name, checkpoint

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Return a calibrated score for each text; the worst window counts."""
        classifier, tokenizer = self._checkpoint.classifier, self._checkpoint.tokenizer
        assert classifier is not None
        cut = [self._windows.cut(text, tokenizer) for text in texts]
        found = [
            self.calibration.probability(discount_later(margins, self._windows.later_penalty))
            for margins in text_margins(classifier, cut)
        ]
        found = [p[:1] if p[0] >= self.threshold else p for p in found]  # as the runtime stops
        clear = [i for i, p in enumerate(found) if len(p) > 1 and p[0] < CLEAR]
        skims = [self._windows.skim(texts[i], tokenizer) for i in clear]
        skimmed = dict(zip(clear, (sum(map(len, some)) for some in skims), strict=True))
        for i, margins in zip(clear, text_margins(classifier, skims), strict=True):
            p = self.calibration.probability(margins - self._windows.later_penalty)
            if (p < SUSPICIOUS).all():
                found[i] = found[i][:1]
        scores = []
        for i, (windows, p) in enumerate(zip(cut, found, strict=True)):
            tokens = sum(len(window) for window in windows[: len(p)]) + skimmed.get(i, 0)
            scores.append(Score(float(p.max()), tuple(p.tolist()), tokens))
        return scores
