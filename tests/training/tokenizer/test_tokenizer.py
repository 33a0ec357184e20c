"""The tokenizer: the same ids as the library that trained it, and nothing special from text."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from assistant.tokenizer import Tokenizer
from training.tokenizer.train import (
    load_tokenizer,
    save_tokenizer,
    to_tokenizer,
    train_bpe,
    train_tokenizer,
)

DATASETS = Path(__file__).parents[3] / "training" / "datasets"


@cache
def texts() -> list[str]:
    rows = [json.loads(line) for line in (DATASETS / "con.jsonl").read_text().splitlines()]
    return [message["content"] for row in rows for message in row["messages"]]


@cache
def pair() -> tuple[tokenizers.Tokenizer, Tokenizer]:
    """The trainer's tokenizer and ours."""
    bpe = train_bpe(texts(), 1200)
    return bpe, to_tokenizer(bpe)


def same(text: str) -> None:
    bpe, ours = pair()
    assert ours.encode(text) == bpe.encode(text, add_special_tokens=False).ids
    assert ours.decode(ours.encode(text)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_ids_equal_the_trainers_on_any_unicode(text: str) -> None:
    same(text)


def test_ids_equal_the_trainers_on_shuffled_pieces_of_text() -> None:
    draw = random.Random(1)  # noqa: S311
    pieces = [
        "the",
        " ",
        "\n",
        "\t",
        "'s",
        "'LL",
        "12",
        "é",
        "ß",
        "²",
        "Ⅷ",
        "٣",
        "\u200b",
        "\u3000",
    ]
    pieces += ["…", "🙂", "e\u0301", "##", "**a**", "https://", "\r\n", "  "]
    for _ in range(3000):
        text = draw.choice(texts())
        start = draw.randrange(len(text))
        same(text[start : start + draw.randrange(40)])
        same("".join(draw.choice(pieces) for _ in range(draw.randrange(20))))
        same("".join(draw.choice("etaoin shrdlu ETA'.\n") for _ in range(draw.randrange(40))))


def test_training_text_is_compressed() -> None:
    _, ours = pair()
    joined = "\n".join(texts())
    assert len(ours.encode(joined)) < 0.45 * len(joined.encode())


def test_special_tokens_are_the_first_ids_and_cannot_come_from_text() -> None:
    _, ours = pair()
    assert ours.spec.special_tokens == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
    assert min(ours.encode("<|endoftext|><|im_start|>user\n<|im_end|>")) >= 3


def test_every_byte_has_an_id() -> None:
    _, ours = pair()
    assert {bytes([value]) for value in range(256)} <= ours.ranks.keys()
    assert sorted(ours.ranks.values()) == list(range(3, ours.vocabulary_size))


def test_training_is_deterministic_and_survives_saving(tmp_path: Path) -> None:
    one, other = train_tokenizer(texts(), 400), train_tokenizer(texts(), 400)
    assert one.ranks == other.ranks
    assert one.vocabulary_size == 400
    save_tokenizer(tmp_path, one)
    loaded = load_tokenizer(tmp_path)
    assert loaded.ranks == one.ranks
    assert loaded.spec == one.spec


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 259"):
        train_tokenizer(["a"], 200)


def test_little_text_makes_a_small_vocabulary() -> None:
    assert train_tokenizer(["aa"], 1000).vocabulary_size == 260


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        load_tokenizer(tmp_path)
