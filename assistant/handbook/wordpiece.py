"""WordPiece as BERT's uncased models read text (https://arxiv.org/abs/1810.04805).

Own code, because the library that has it brings a network client along; the tests compare it
with that library.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from assistant.errors import ModelError

UNKNOWN, START, END = "[UNK]", "[CLS]", "[SEP]"
LONGEST_WORD = 100  # characters; a longer word is unknown

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


class WordPiece:
    """Text to ids.

    Args:
        vocabulary: pieces by id; pieces within a word begin with "##".
        max_tokens: longest result, the two end tokens included; the rest is cut.
    """

    def __init__(self, vocabulary: list[str], max_tokens: int) -> None:
        self.ids = {piece: number for number, piece in enumerate(vocabulary)}
        missing = [piece for piece in (UNKNOWN, START, END) if piece not in self.ids]
        if missing:
            raise ModelError(f"The handbook's vocabulary lacks {', '.join(missing)}")
        self.max_tokens = max_tokens

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> WordPiece:
        """Read a vocabulary, one piece a line; raises ModelError."""
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"The vocabulary {path} cannot be read ({error})") from error
        return cls(lines[:-1] if lines[-1] == "" else lines, max_tokens)

    def encode(self, text: str) -> list[int]:
        """Return ids between the start and the end token."""
        room = self.max_tokens - 2
        ids: list[int] = []
        # A piece has at most LONGEST_WORD characters: more text than this cannot matter.
        for word in split_words(text[: 4 * LONGEST_WORD * self.max_tokens]):
            ids += self._pieces(word)
            if len(ids) >= room:
                break
        return [self.ids[START], *ids[:room], self.ids[END]]

    def _pieces(self, word: str) -> list[int]:
        """Greedy, longest piece first; a word that cannot be covered is unknown as a whole."""
        unknown = [self.ids[UNKNOWN]]
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
        return found


def split_words(text: str) -> list[str]:
    """Lower case without accents; punctuation and ideographs stand alone."""
    cleaned = "".join(_clean(character) for character in text)
    plain = "".join(
        character.lower()
        for character in unicodedata.normalize("NFD", cleaned)
        if unicodedata.category(character) != "Mn"
    )
    words: list[str] = []
    for run in plain.split():
        word = ""
        for character in run:
            if _is_punctuation(character):
                words += [word, character] if word else [character]
                word = ""
            else:
                word += character
        if word:
            words.append(word)
    return words


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


def _is_punctuation(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")
