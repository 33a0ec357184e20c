"""The sample mails, and a classifier in the place of the bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.words import WordClassifier

SAMPLES = Path(__file__).parents[2] / "data"


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> WordClassifier:
    """The word classifier, also in the place of every bundle."""
    fake = WordClassifier()
    monkeypatch.setattr("plugins.email_spam.personal.load_classifier", lambda name: fake)
    return fake


@pytest.fixture
def samples() -> Path:
    """The folder of hand-written messages."""
    return SAMPLES
