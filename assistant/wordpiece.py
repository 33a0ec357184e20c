"""WordPiece as BERT's uncased models read text (https://arxiv.org/abs/1810.04805).

Own code, because the library that has it brings a network client along; the tests compare it
with that library.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from assistant.errors import ModelError
from assistant.tokenizer import Tokenizer

UNKNOWN = "[UNK]"
LONGEST_WORD = 100  # characters; a longer word is unknown
_CACHED_WORDS = 20_000

_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieceTokenizer(Tokenizer):
    """Text to ids by the longest pieces first; the ranks are the vocabulary.

    Pieces within a word begin with "##". What a special token stands for is never read from
    text: brackets are punctuation here, so "[SEP]" in a mail is three pieces.
    """

    def __post_init__(self) -> None:
        self.ids = {piece.decode("utf-8"): number for piece, number in self.ranks.items()}
        if UNKNOWN not in self.ids:
            raise ModelError(f"The vocabulary {self.spec.file} lacks {UNKNOWN}")
        self._pieces_of = lru_cache(_CACHED_WORDS)(self._pieces)

    def encode(self, text: str) -> list[int]:
        """Encode text without start and end tokens."""
        ids: list[int] = []
        for word in split_words(text):
            ids += self._pieces_of(word)
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the text of ids in UTF-8: lower case, words apart, the original spacing lost."""
        pieces = {number: piece for piece, number in self.ids.items()}
        words = " ".join(pieces.get(number, UNKNOWN) for number in ids)
        return words.replace(" ##", "").encode("utf-8")

    def _pieces(self, word: str) -> tuple[int, ...]:
        """Greedy, longest piece first; a word that cannot be covered is unknown as a whole."""
        unknown = (self.ids[UNKNOWN],)
        if len(word) > LONGEST_WORD:
            return unknown
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for stop in range(len(word), start, -1):
                number = self.ids.get(prefix + word[start:stop])
                if number is not None:
                    break
            else:
                return unknown
            found.append(number)
            start = stop
        return tuple(found)


def split_words(text: str) -> Iterator[str]:
    """Yield lower-case words without accents; punctuation and ideographs stand alone."""
    cleaned = "".join(map(_clean, text))
    if not cleaned.isascii():
        cleaned = "".join(
            character.lower()
            for character in unicodedata.normalize("NFD", cleaned)
            if unicodedata.category(character) != "Mn"
        )
    for run in cleaned.lower().split():
        if run.isalnum():
            yield run
            continue
        word = ""
        for character in run:
            if _is_punctuation(character):
                if word:
                    yield word
                yield character
                word = ""
            else:
                word += character
        if word:
            yield word


@lru_cache(4096)
def _clean(character: str) -> str:
    code = ord(character)
    if character.isascii() and character.isprintable():
        return character
    if character in "\t\n\r" or unicodedata.category(character) in ("Zs", "Zl", "Zp"):
        return " "
    if code in (0, 0xFFFD) or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co"):
        return ""
    if any(first <= code <= last for first, last in _IDEOGRAPHS):
        return f" {character} "
    return character


@lru_cache(4096)
def _is_punctuation(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")
