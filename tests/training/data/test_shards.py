"""Preparation: shards hold every document once, in its split, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from assistant.tokenizer import Tokenizer, TokenizerSpec
from tests.support.tiny import tiny_tokenizer
from training.data import prepare as prepare_module
from training.data.prepare import PrepareConfig, encode_documents, prepare, split_of
from training.data.shards import TokenData, read_manifest, verify
from training.run import Run

TEXTS = [f"document {n} says {n * n}" for n in range(200)] + ["naïve ☕", "the end"]


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return path


def prepared(tmp_path: Path, texts: list[str] = TEXTS, **settings: float) -> Path:
    source = write(tmp_path / "source.jsonl", texts)
    config = PrepareConfig(**({"validation_fraction": 0.2} | settings))  # type: ignore[arg-type]
    run = Run.create(tmp_path / "data", "prepare", config, [])
    prepare([source], tiny_tokenizer(), config, run)
    return run.directory


def stored(directory: Path, split: str) -> list[str]:
    tokenizer = tiny_tokenizer()
    shards = read_manifest(directory)["splits"][split]["shards"]
    ids = np.concatenate([np.fromfile(directory / s["file"], dtype="<u2") for s in shards])
    assert ids[0] == 0
    starts = np.flatnonzero(ids == 0)
    return [tokenizer.decode(piece[1:].tolist()) for piece in np.split(ids, starts[1:])]


def test_documents_come_back_from_the_shards_whole_and_in_order(tmp_path: Path) -> None:
    directory = prepared(tmp_path, shard_tokens=100)
    manifest = read_manifest(directory)
    assert len(manifest["splits"]["train"]["shards"]) > 5
    for split in ("train", "validation"):
        expected = [text for text in TEXTS if split_of(text, 0.2)[1] == split]
        assert stored(directory, split) == expected
        counts = manifest["splits"][split]
        assert counts["documents"] == len(expected)
        assert counts["tokens"] == sum(s["tokens"] for s in counts["shards"])
    assert manifest["text_bytes"] == sum(len(text.encode()) for text in TEXTS)


def test_duplicates_and_empty_documents_are_left_out(tmp_path: Path) -> None:
    directory = prepared(tmp_path, [*TEXTS, *TEXTS[:50], "", "   "])
    assert sorted(stored(directory, "train") + stored(directory, "validation")) == sorted(TEXTS)
    counts = read_manifest(directory)["documents"]
    assert counts == {"read": 254, "empty": 2, "duplicates": 50, "broken_lines": 0}


def test_the_split_depends_on_the_document_alone(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    (tmp_path / "other").mkdir()
    reordered = prepared(tmp_path / "other", [*reversed(TEXTS), "one more", "and another"])
    held_out = set(stored(directory, "validation"))
    assert held_out <= set(stored(reordered, "validation"))
    assert not held_out & set(stored(reordered, "train"))
    assert 0.1 < len(held_out) / len(TEXTS) < 0.3


def test_results_do_not_depend_on_how_much_is_tokenized_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(prepared(tmp_path))
    monkeypatch.setattr(prepare_module, "BATCH_CHARACTERS", 100)
    (tmp_path / "again").mkdir()
    assert verify(prepared(tmp_path / "again", threads=1)) == whole


def test_windows_cover_a_split_and_overlap_by_the_target(tmp_path: Path) -> None:
    directory = prepared(tmp_path, shard_tokens=100)
    data = TokenData(directory, "train", 16)
    shards = [
        np.fromfile(directory / s["file"], dtype="<u2")
        for s in read_manifest(directory)["splits"]["train"]["shards"]
    ]
    expected = [s[i : i + 17] for s in shards for i in range(0, len(s) - 16, 16)]
    assert len(data) == len(expected)
    for index, ids in enumerate(expected):
        assert data.window(index).tolist() == ids.tolist()


def test_missing_bytes_of_a_vocabulary_are_dropped_as_the_tokenizer_drops_them() -> None:
    ranks = {bytes([value]): value + 3 for value in range(32, 127)}
    special = {"<|endoftext|>": 0}
    tokenizer = Tokenizer(TokenizerSpec("r", r"\S+|\s+", special, 130), ranks)
    texts = ["plain", "ta\tb é", "lone \ud800 surrogate"]
    for text, ids in zip(texts, encode_documents(texts, tokenizer), strict=True):
        assert ids.tolist() == [0, *tokenizer.encode(text)]


def test_damaged_data_is_an_error_that_says_which_file(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    assert set(verify(directory)) == {"train-00000.bin", "validation-00000.bin"}
    shard = directory / "train-00000.bin"
    whole = shard.read_bytes()
    shard.write_bytes(b"\x01" + whole[1:])
    with pytest.raises(ValueError, match=r"train-00000\.bin is missing or damaged"):
        verify(directory)
    shard.write_bytes(whole[:-2])
    with pytest.raises(ValueError, match="prepare the data again"):
        TokenData(directory, "train", 16)
    shard.unlink()
    with pytest.raises(ValueError, match="is missing"):
        TokenData(directory, "train", 16)
    (directory / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        read_manifest(directory)
    (directory / "manifest.json").write_text('{"format_version": 9}')
    with pytest.raises(ValueError, match="format 9"):
        read_manifest(directory)
    with pytest.raises(ValueError, match="no prepared data"):
        read_manifest(tmp_path)


def test_a_split_shorter_than_a_window_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter than one window"):
        TokenData(prepared(tmp_path), "validation", 100_000)


def test_a_split_without_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="validation_fraction"):
        prepared(tmp_path, ["just one"], validation_fraction=0.0)


def test_a_vocabulary_beyond_uint16_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    spec = TokenizerSpec("r", r"\S+|\s+", {"<|endoftext|>": 0}, 70_000)
    source = write(tmp_path / "a.jsonl", TEXTS)
    config = PrepareConfig()
    run = Run.create(tmp_path / "data", "prepare", config, [])
    with pytest.raises(ValueError, match="shards hold 65536"):
        prepare([source], Tokenizer(spec, tokenizer.ranks), config, run)
