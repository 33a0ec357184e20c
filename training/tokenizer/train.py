"""Byte-level BPE (https://arxiv.org/abs/1508.07909), trained by ``tokenizers``, kept as ranks.

Training uses Hugging Face's trainer; what is kept is tiktoken's rank file, the split pattern
and the special tokens, from which ``assistant.tokenizer.Tokenizer`` is built.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.tokenizer import (
    END_OF_TEXT,
    MESSAGE_END,
    MESSAGE_START,
    Tokenizer,
    TokenizerSpec,
    write_ranks,
)

if TYPE_CHECKING:
    import tokenizers

RANKS, SPEC = "tokenizer.tiktoken", "spec.json"
SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END)
"""Ids 0, 1, 2 of every tokenizer trained here."""

PATTERN = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
"""Digits alone, words with the space before them, runs of punctuation, white space."""

SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256


def train_bpe(
    texts: Iterable[str], vocabulary_size: int, pattern: str = PATTERN
) -> tokenizers.Tokenizer:
    """Train Hugging Face's tokenizer; ids: special tokens, then bytes, then merges by rank.

    Raises:
        ValueError: the vocabulary has no room for the bytes and special tokens.
    """
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    if vocabulary_size < SMALLEST_VOCABULARY:
        raise ValueError(
            f"vocabulary_size {vocabulary_size}: at least {SMALLEST_VOCABULARY} "
            f"(256 bytes and {len(SPECIAL_TOKENS)} special tokens)"
        )
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return bpe


def to_tokenizer(bpe: tokenizers.Tokenizer, pattern: str = PATTERN) -> Tokenizer:
    """Build our tokenizer from a trained one; the ids are the same."""
    characters, vocabulary = _byte_of_character(), bpe.get_vocab()
    ranks = {
        bytes(characters[c] for c in token): index
        for token, index in vocabulary.items()
        if token not in SPECIAL_TOKENS
    }
    special = {token: vocabulary[token] for token in SPECIAL_TOKENS}
    assert list(special.values()) == [0, 1, 2]
    return Tokenizer(TokenizerSpec(RANKS, pattern, special, len(vocabulary)), ranks)


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, pattern: str = PATTERN
) -> Tokenizer:
    """Train a tokenizer on texts.

    Returns:
        a tokenizer of at most ``vocabulary_size`` ids (little text has few pairs to merge).

    Raises:
        ValueError: see ``train_bpe``.
    """
    return to_tokenizer(train_bpe(texts, vocabulary_size, pattern), pattern)


def save_tokenizer(directory: Path, tokenizer: Tokenizer) -> None:
    """Write the rank file and the spec into a folder."""
    directory.mkdir(parents=True, exist_ok=True)
    write_ranks(directory / tokenizer.spec.file, tokenizer.ranks)
    text = json.dumps(tokenizer.spec.to_json(), indent=2) + "\n"
    (directory / SPEC).write_text(text, encoding="utf-8")


def load_tokenizer(directory: Path) -> Tokenizer:
    """Load a tokenizer from a tokenizer's folder, prepared data, or a checkpoint.

    Raises:
        ValueError: the folder holds none.
        ModelError: its rank file is damaged.
    """
    directory = Path(directory)
    for place in (directory, directory / "checkpoint"):
        spec = _spec(place)
        if spec is not None:
            return Tokenizer.load(place, spec)
    raise ValueError(f"{directory} holds no tokenizer: {SPEC} is missing; see training tokenizer")


def _spec(directory: Path) -> TokenizerSpec | None:
    try:
        if (directory / SPEC).exists():
            return TokenizerSpec.from_json(_json(directory / SPEC))
        if (directory / "config.json").exists():  # a checkpoint's, or a run's without one
            data = _json(directory / "config.json").get("tokenizer")
            return None if data is None else TokenizerSpec.from_json(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The tokenizer in {directory} is damaged: {error}") from error
    return None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def character_of_byte() -> dict[int, str]:
    """Return GPT-2's byte-to-character table, see ``_byte_of_character``."""
    return {value: character for character, value in _byte_of_character().items()}


def _byte_of_character() -> dict[str, int]:
    """Invert GPT-2's byte-to-character table, which ``tokenizers`` uses in its vocabularies.

    Printable Latin-1 characters stand for themselves, the other bytes for U+0100 onwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(value): value for value in printable}
    others = [value for value in range(256) if value not in printable]
    return table | {chr(0x100 + index): value for index, value in enumerate(others)}
