"""Disguises change what a program reads and leave what a person reads."""

import unicodedata

import pytest

from assistant.plugin_api import Score
from plugins.email_spam.canonical import canonical_row
from training.evaluation.attacks import ATTACKS, attack_figures, disguised
from training.finetuning.labelled_text import LabelledText, plain_row

MAIL = "From: Shop <shop.example>\nSubject: winner winner\n\n" + "claim your money today " * 9


class _WordClassifier:
    unsure = (0.3, 0.5)

    def score(self, texts):
        return [
            Score(1.0 if "money" in text and "winner" in text else 0.0, (), 1) for text in texts
        ]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_disguise_hides_words_from_a_plain_reader(name):
    text = disguised(MAIL, name, "k")
    assert text != MAIL
    assert text.startswith("From: Shop <shop.example>\nSubject: ")
    assert text == disguised(MAIL, name, "k")


@pytest.mark.parametrize("name", ["homoglyphs", "zero-width characters"])
def test_the_plugins_normaliser_undoes_it(name):
    plain = canonical_row({"text": MAIL}).split("\n\n")[1]
    seen = canonical_row({"text": disguised(MAIL, name, "k")}).split("\n\n")[1]
    same = sum(a == b for a, b in zip(plain.split(), seen.split(), strict=False))
    assert same == len(plain.split())


def test_homoglyphs_are_other_letters():
    text = disguised(MAIL, "homoglyphs", "k")
    assert any("CYRILLIC" in unicodedata.name(letter) for letter in text if letter.isalpha())


def test_recall_and_false_alarms_are_measured_under_each():
    texts = [
        LabelledText(MAIL, 1, "s", "a"),
        LabelledText("Subject: hi\n\nlunch at one?", 0, "s", "b"),
    ]
    figures = attack_figures(_WordClassifier(), texts, plain_row)
    assert figures["none"]["recall"] == 1.0
    assert set(figures) == {"none", *ATTACKS}
    assert all(row["false_positive_rate"] == 0.0 for row in figures.values())
