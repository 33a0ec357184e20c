"""The exported bundle judges as the checkpoint it came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.engine.classifier import load_classifier
from assistant.engine.windows import discount_later
from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint
from training.evaluation.command import evaluate
from training.exporting.export import export_bundle
from training.finetuning.scoring import CheckpointClassifier
from training.model import SequenceClassifier

TEXTS = ["", "call me later", "claim the free prize now " * 30, "open the settings and " * 12,
         "call\n\n" + "me later " * 30]  # fmt: skip


@pytest.mark.parametrize("repeat_head", [0, 6])
@pytest.mark.parametrize("later_penalty", [0.0, 1.5])
def test_scores_of_bundle_and_checkpoint_are_equal_window_by_window(
    classifier: SequenceClassifier,
    tokenizer: Tokenizer,
    tmp_path: Path,
    later_penalty: float,
    repeat_head: int,
) -> None:
    windows = {"tokens": 32, "stride": 24, "pool": "max", "later_penalty": later_penalty}
    extra = {
        "positive": "spam",
        "threshold": 0.6,
        "unsure": [0.4, 0.6],
        "calibration": {"temperature": 0.1, "bias": 0.1},
        "windows": windows | {"head_share": 0.75 * (repeat_head > 0), "repeat_head": repeat_head},
        "metrics": {},
    }
    checkpoint = Checkpoint(
        "classification", classifier.transformer, tokenizer, classifier, ["ham", "spam"], extra
    )
    place = tmp_path / "tiny-spam"
    export_bundle(checkpoint, place, "tiny-spam", quantization="float32")
    bundle, torch_side = load_classifier(str(place)), CheckpointClassifier(checkpoint)
    for ours, theirs in zip(torch_side.score(TEXTS), bundle.score(TEXTS), strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.windows == pytest.approx(theirs.windows, abs=2e-4)
        assert ours.probability == pytest.approx(theirs.probability, abs=2e-4)
    assert bundle.unsure == torch_side.unsure

    report = evaluate(place, split="all")
    assert report["figures"]["all"]["n"] > 700


def test_the_first_window_is_never_discounted() -> None:
    import numpy as np

    assert discount_later(np.array([2.0, 2.0, 3.0]), 1.0).tolist() == [2.0, 1.0, 2.0]
    assert discount_later(np.array([2.0]), 1.0).tolist() == [2.0]
