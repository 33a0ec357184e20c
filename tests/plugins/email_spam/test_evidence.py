"""Evidence is true of the model: taking the piece out lowers the score by its weight."""

from __future__ import annotations

import math
from pathlib import Path

from plugins.email_spam.evidence import MAX_SPANS, model_evidence
from plugins.email_spam.mail import Mail
from plugins.email_spam.reading import read_message
from tests.support.words import WordClassifier


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_the_telling_sentence_is_found_with_its_weight() -> None:
    mail = Mail(subject="Hello", body="We met at work. Send the fee today. Grandma says hi.")
    strongest, second = model_evidence(mail, WordClassifier())[:2]
    assert (strongest.text, strongest.quote) == (
        "This passage speaks for spam",
        "Send the fee today.",
    )
    assert strongest.weight is not None
    assert strongest.weight > 1
    assert (second.text, second.quote) == ("This passage speaks against spam", "Grandma says hi.")
    expected = log_odds(0.05 + 0.3 - 0.2) - log_odds(0.05 + 0.3)
    assert second.weight == round(expected, 2)


def test_sender_subject_and_links_are_weighed_too(samples: Path) -> None:
    mail = read_message((samples / "phishing_html.eml").read_bytes())
    texts = {evidence.text for evidence in model_evidence(mail, WordClassifier())}
    assert "The link to collect-fee[.]example speaks for spam" in texts


def test_pieces_that_move_nothing_are_not_named() -> None:
    assert model_evidence(Mail(subject="Tea", body="One. Two. Three."), WordClassifier()) == []


def test_a_mail_of_one_sentence_has_nothing_to_take_out() -> None:
    assert model_evidence(Mail(body="Send the fee"), WordClassifier()) == []


def test_long_mail_is_explained_by_its_most_telling_stretch() -> None:
    padding = "We like the garden. " * 400
    mail = Mail(subject="s", body=padding + "Pay the lottery fee now. " + padding)
    classifier = WordClassifier()
    assert "lottery fee" in model_evidence(mail, classifier)[0].quote
    assert len(classifier.texts) < 60


def test_the_work_is_bounded() -> None:
    classifier = WordClassifier()
    model_evidence(Mail(subject="s", body="Send a fee. " * 300), classifier)
    assert len(classifier.texts) <= MAX_SPANS + 1
