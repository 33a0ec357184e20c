"""Evidence is true of the model: taking the piece out lowers the score by its weight."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from plugins.email_spam.evidence import CHARACTERS, MAX_SPANS, SUBSETS, explain
from plugins.email_spam.mail import Mail
from plugins.email_spam.reading import read_message
from tests.support.words import WordClassifier


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_the_telling_sentence_is_found_with_its_weight() -> None:
    mail = Mail(subject="Hello", body="We met at work. Send the fee today. Grandma says hi.")
    strongest, second = explain(mail, WordClassifier()).evidence[:2]
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
    texts = {evidence.text for evidence in explain(mail, WordClassifier()).evidence}
    assert "The link to collect-fee[.]example speaks for spam" in texts


def test_pieces_that_move_nothing_are_not_named() -> None:
    assert explain(Mail(subject="Tea", body="One. Two. Three."), WordClassifier()).evidence == ()


def test_a_mail_of_one_sentence_has_nothing_to_take_out() -> None:
    assert explain(Mail(body="Send the fee"), WordClassifier()).evidence == ()


def test_long_mail_is_explained_by_its_most_telling_stretch() -> None:
    padding = "We like the garden. " * 400
    mail = Mail(subject="s", body=padding + "Pay the lottery fee now. " + padding)
    classifier = WordClassifier()
    assert "lottery fee" in explain(mail, classifier).evidence[0].quote
    assert len(classifier.texts) < 60


@pytest.mark.parametrize("sentences", [10, 40, 75, 100, 300])
def test_the_work_is_bounded(sentences: int) -> None:
    classifier = WordClassifier()
    explain(Mail(subject="s", body="Send a fee. " * sentences), classifier)
    assert len(classifier.texts) <= MAX_SPANS + 1 + SUBSETS + sentences // 50
    read = sum(map(len, classifier.texts))
    assert read <= 2.5 * CHARACTERS + 12 * sentences  # both stages, and looking for the stretch


def test_in_a_mail_that_says_it_many_times_each_piece_gets_its_mean_effect() -> None:
    pieces = ["Pay the fee.", "The lottery fee is due.", "A prize fee waits.", "Grandma bakes."]
    mail = Mail(subject="Hello there", body=" ".join(pieces * 2) + " We met in town.")
    one_less = WordClassifier()._score("fee " * 8).probability
    assert one_less == WordClassifier()._score("fee " * 9).probability  # saturated
    found = {e.quote: e.weight for e in explain(mail, WordClassifier()).evidence}
    assert found["The lottery fee is due."] > 0.1
    assert "We met in town." not in found


def test_the_body_is_given_in_passages_with_their_weights() -> None:
    body = "We met at work. It was nice. Send the fee to https://a.example now. Grandma says hi."
    passages = explain(Mail(subject="Hello", body=body), WordClassifier()).passages
    assert [(p.text, p.weight > 0, p.weight < 0) for p in passages] == [
        ("We met at work. It was nice.", False, False),
        ("Send the fee to hxxps://a[.]example now.", True, False),
        ("Grandma says hi.", False, True),
    ]


def test_passages_of_a_long_mail_are_short() -> None:
    mail = Mail(subject="s", body="We like the garden. " * 900 + "Pay the lottery fee now.")
    passages = explain(mail, WordClassifier()).passages
    assert sum(len(passage.text) for passage in passages) < 4000
    assert any("lottery fee" in passage.text and passage.weight for passage in passages)
