"""WordPiece, against the library that defines it."""

from __future__ import annotations

import random
import string
import unicodedata
from pathlib import Path

import pytest
from tokenizers import BertWordPieceTokenizer

from assistant.errors import ModelError
from assistant.handbook.wordpiece import WordPiece

LETTERS = [*string.ascii_lowercase, *string.digits]
VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS),
    *string.punctuation, "the", "reset", "##ing", "pass", "##word", "ß", "##ß", "中", "ж", "##ж",
    "ı", "€", "–", "ᄒ", "##ᅡ", "##ᆫ", "σ", "##σ",
]  # fmt: skip


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    """Write the vocabulary."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


def test_ids_are_those_of_the_library(vocabulary: Path) -> None:
    ours = WordPiece.load(vocabulary, 24)
    theirs = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    theirs.enable_truncation(24)
    # Characters of Unicode 8: newer ones depend on the tables of whoever reads them.
    ranges = [(0x20, 0x17F), (0x370, 0x58F), (0x5D0, 0x5EA), (0x900, 0x97F), (0x1E00, 0x206F)]
    ranges += [(0x20A0, 0x20BE), (0x2100, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x4E30)]
    ranges += [(0xAC00, 0xAC30), (0xE000, 0xE005), (0xFB00, 0xFB06), (0xFF01, 0xFF5E)]
    draw = random.Random(1)  # noqa: S311
    for _ in range(3000):
        characters = []
        for _ in range(draw.randrange(24)):
            kind = draw.random()
            if kind < 0.5:
                characters.append(draw.choice(string.ascii_letters + " ' ,.!?-"))
            elif kind < 0.6:
                characters.append(draw.choice("\t\n\r\x00\x07\u200b\u200d\u00ad\ufffd\u3000İΣςǅ"))
            else:
                characters.append(chr(draw.randint(*draw.choice(ranges))))
        text = "".join(c for c in characters if unicodedata.category(c) != "Cn")
        assert ours.encode(text) == theirs.encode(text).ids, ascii(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "resetting the password", "don't, can't!", "x" * 101, "the " * 60, "Straße", "中中"],
)
def test_particular_texts(vocabulary: Path, text: str) -> None:
    theirs = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    theirs.enable_truncation(24)
    assert WordPiece.load(vocabulary, 24).encode(text) == theirs.encode(text).ids


def test_a_flood_of_text_is_cut_before_it_is_read(vocabulary: Path) -> None:
    assert len(WordPiece.load(vocabulary, 24).encode("the " * 2_000_000)) == 24


def test_a_vocabulary_without_its_special_pieces_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\[CLS\]"):
        WordPiece(["[UNK]", "[SEP]"], 24)
