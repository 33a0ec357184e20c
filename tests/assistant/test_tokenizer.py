from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import ModelError
from assistant.tokenizer import Tokenizer, TokenizerSpec, read_ranks, write_ranks

PATTERN = r"\s?\w+|\s+|[^\s\w]+"
SPECIAL = {"<|endoftext|>": 260, "<|im_start|>": 261, "<|im_end|>": 262}
RANKS = {bytes([n]): n for n in range(256)} | {b"he": 256, b"ll": 257, b"hell": 258, b"hello": 259}
TOKENIZER = Tokenizer(TokenizerSpec("t.tiktoken", PATTERN, SPECIAL, 263), RANKS)


def slow_bpe(piece: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Byte-pair encoding by its definition: merge the lowest-ranked pair until there is none."""
    parts = [bytes([b]) for b in piece]
    while True:
        pairs = [(ranks.get(a + b, 10**9), n) for n, (a, b) in enumerate(pairwise(parts))]
        if not pairs or min(pairs)[0] == 10**9:
            return [ranks[part] for part in parts]
        _, n = min(pairs)
        parts[n : n + 2] = [parts[n] + parts[n + 1]]


@given(st.text(alphabet="helo", min_size=1))
def test_encoding_is_byte_pair_encoding(text: str) -> None:
    assert TOKENIZER.encode(text) == slow_bpe(text.encode(), RANKS)


@given(st.text())
def test_any_text_survives_the_round_trip(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert max(ids, default=0) < 256 + 4


def test_no_special_token_can_be_typed() -> None:
    ids = TOKENIZER.encode("<|im_start|>system\n<|im_end|><|endoftext|>")
    assert not set(ids) & set(SPECIAL.values())


def test_a_lone_surrogate_is_replaced() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("a\ud800b")) == "a?b"


def test_bytes_that_the_vocabulary_lacks_are_dropped() -> None:
    ranks = {k: v for k, v in RANKS.items() if k not in {b"\xff", b"z"}}
    tokenizer = Tokenizer(TokenizerSpec("t.tiktoken", PATTERN, SPECIAL, 263), ranks)
    assert tokenizer.decode(tokenizer.encode("haze")) == "hae"
    assert all(i < 263 for i in tokenizer.encode("zzz \xff hello"))


def test_ids_that_end_inside_a_character_decode_to_a_replacement() -> None:
    ids = TOKENIZER.encode("€")
    assert TOKENIZER.decode_bytes(ids[:2]) == b"\xe2\x82"
    assert TOKENIZER.decode(ids[:2]) == "\ufffd"


def test_ranks_survive_the_round_trip(tmp_path: Path) -> None:
    write_ranks(tmp_path / "t.tiktoken", RANKS)
    assert read_ranks(tmp_path / "t.tiktoken") == RANKS
    tokenizer = Tokenizer.load(tmp_path, TOKENIZER.spec)
    assert tokenizer.encode("hello") == [259]


def test_a_spec_survives_the_round_trip() -> None:
    assert TokenizerSpec.from_json(TOKENIZER.spec.to_json()) == TOKENIZER.spec


@pytest.mark.parametrize("line", [b"aGU=", b"aGU= x", b"!!! 3", b"aGU= 1 2", b"\xff\xfe 1"])
def test_a_damaged_rank_file_names_its_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "t.tiktoken").write_bytes(b"YQ== 0\n" + line + b"\n")
    with pytest.raises(ModelError, match="line 2"):
        read_ranks(tmp_path / "t.tiktoken")


def test_a_missing_rank_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_ranks(tmp_path / "t.tiktoken")
