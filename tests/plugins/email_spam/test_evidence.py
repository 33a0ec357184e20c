"""Evidence is true of the model: taking the piece out lowers the score by its weight."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.plugin_api import Score
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.evidence import (
    FEWEST_SUBSETS,
    MAX_SPANS,
    MOST_TOKENS,
    STRETCH,
    SUBSETS,
    explain,
)
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


class _InWindows(WordClassifier):
    """Reads long texts as the real one does: beginning and end, then what lies between."""

    def _score(self, text: str) -> Score:
        if len(text) <= 1000:
            return super()._score(text)
        middle = range(750, len(text) - 250, 1000)
        windows = [text[:750] + text[-250:], *(text[at : at + 1000] for at in middle)]
        found = tuple(super(_InWindows, self)._score(window).probability for window in windows)
        return Score(max(found), found, len(text.split()))


@pytest.mark.parametrize("before", [0, 10, 50, 60, 100, 200, 390, 400, 770, 800])
def test_long_mail_is_explained_by_its_most_telling_stretch(before: int) -> None:
    padding = "We like the garden. "
    body = padding * before + "Pay the lottery fee now. " + padding * (800 - before)
    classifier = _InWindows()
    assert "lottery fee" in explain(Mail(subject="s", body=body), classifier).evidence[0].quote
    assert len(classifier.texts) < 30


def test_what_the_score_says_is_many_tokens_is_taken_apart_into_fewer_pieces() -> None:
    class Dense(WordClassifier):
        def _score(self, text: str) -> Score:
            return replace(super()._score(text), tokens=len(text))

    mail = Mail(subject="s", body="We like it. " * 60)
    prose, dense = WordClassifier(), Dense()
    explain(mail, prose)
    explain(mail, dense)
    assert len(dense.texts) < 0.7 * len(prose.texts)


@pytest.mark.parametrize("word", ["чай ", "4-7! ", "a7f3-"])
def test_of_text_that_is_many_tokens_fewer_characters_are_read(word: str) -> None:
    prose, dense = _InWindows(), _InWindows()
    explain(Mail(subject="s", body="We like tea, really. " * 300), prose)
    explain(Mail(subject="s", body=(word * 5 + ". ") * 250), dense)
    assert sum(map(len, dense.texts[1:])) < 0.7 * sum(map(len, prose.texts[1:]))


def test_a_score_that_is_known_is_not_computed_again() -> None:
    mail = Mail(subject="s", body="We like the garden. " * 400 + "Pay the lottery fee now.")
    asked, told = _InWindows(), _InWindows()
    (score,) = _InWindows().score([canonical_text(mail)])
    assert explain(mail, told, score) == explain(mail, asked)
    assert max(map(len, told.texts)) < 1500 < max(map(len, asked.texts))


@pytest.mark.parametrize("sentences", [10, 40, 75, 100, 300])
def test_the_work_is_bounded(sentences: int) -> None:
    classifier = WordClassifier()
    explain(Mail(subject="s", body="Send a fee. " * sentences), classifier)
    assert len(classifier.texts) <= MAX_SPANS + 1 + SUBSETS + sentences // 50
    read = sum(len(text.split()) for text in classifier.texts)  # its tokens are words
    whole, stretches = 3 * sentences, 5 * 2 * STRETCH // 4
    assert read <= MOST_TOKENS + FEWEST_SUBSETS // 2 * 230 + whole + stretches


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
    passages = explain(mail, _InWindows()).passages
    assert sum(len(passage.text) for passage in passages) < 4000
    assert any("lottery fee" in passage.text and passage.weight for passage in passages)
