"""Preparation: shards hold every document once, in its split, and nothing else."""

from __future__ import annotations

import errno
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.errors import BadInputError
from assistant.tokenizer import Tokenizer, TokenizerSpec
from tests.support.tiny import tiny_tokenizer
from training.data import parts as parts_module
from training.data import prepare as prepare_module
from training.data.parts import encode_documents, split_of
from training.data.prepare import PrepareConfig, prepare
from training.data.shards import TokenData, read_manifest, verify
from training.run import Run

TEXTS = [f"document {n} says {n * n}" for n in range(200)] + ["naïve ☕", "the end"]


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return path


def prepared(tmp_path: Path, texts: list[str] = TEXTS, **settings: Any) -> Path:
    source = write(tmp_path / "source.jsonl", texts)
    # near-copies stay: the texts differ by a number or two
    defaults = {"validation_fraction": 0.2, "near_duplicates": 0.0}
    config = PrepareConfig(**(defaults | settings))
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
    assert counts == {
        "read": 254,
        "empty": 2,
        "licence_left_out": 0,
        "duplicates": 50,
        "near_duplicates": 0,
        "broken_lines": 0,
    }


def test_the_split_depends_on_the_document_alone(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    (tmp_path / "other").mkdir()
    reordered = prepared(tmp_path / "other", [*reversed(TEXTS), "one more", "and another"])
    held_out = set(stored(directory, "validation"))
    assert held_out <= set(stored(reordered, "validation"))
    assert not held_out & set(stored(reordered, "train"))
    assert 0.1 < len(held_out) / len(TEXTS) < 0.3


def test_results_do_not_depend_on_parts_nor_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(prepared(tmp_path))
    monkeypatch.setattr(parts_module, "PART_BYTES", 700)
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        directory = prepared(folder, workers=workers)
        assert verify(directory) == whole
        assert not (directory / "parts").exists()


def test_an_interrupted_run_goes_on_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts_module, "PART_BYTES", 700)
    made: list[int] = []
    make = parts_module.make

    def full(work: parts_module.Work) -> int:
        if len(made) == 4:
            made.clear()
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(work.number)
        return make(work)

    monkeypatch.setattr(prepare_module, "make", full)
    arguments = [write(tmp_path / "source.jsonl", TEXTS)]
    config = PrepareConfig(validation_fraction=0.2, near_duplicates=0.0)
    run = Run.create(tmp_path / "data", "prepare", config, [])
    with pytest.raises(OSError, match="No space left"):
        prepare(arguments, tiny_tokenizer(), config, run)
    monkeypatch.setattr(prepare_module, "make", lambda work: made.append(work.number) or make(work))
    prepare(arguments, tiny_tokenizer(), config, run)
    assert made[0] == 4
    assert "4 of" in capsys.readouterr().err
    monkeypatch.undo()
    (tmp_path / "other").mkdir()
    assert verify(run.directory) == verify(prepared(tmp_path / "other"))

    # other settings or a changed file: nothing old is used
    (run.directory / "parts").mkdir()
    other = PrepareConfig(validation_fraction=0.5, near_duplicates=0.0)
    prepare(arguments, tiny_tokenizer(), other, run)
    assert "there already" not in capsys.readouterr().err


def test_sources_have_weights_and_licences(tmp_path: Path) -> None:
    rows = [
        {"text": f"{name} {n} {n * n}", "source": name, "license": licence}
        for name, licence in (("good", "MIT"), ("bad", ""), ("dull", "MIT"), ("more", "CC0"))
        for n in range(200)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    config = PrepareConfig(
        validation_fraction=0.2,
        near_duplicates=0.0,
        weights={"good": 2.0, "dull": 0.0, "more": 1.5},
        licences=("mit", "CC0"),
    )
    run = Run.create(tmp_path / "data", "prepare", config, [])
    manifest = prepare([tmp_path / "a.jsonl"], tiny_tokenizer(), config, run)
    assert manifest["documents"]["licence_left_out"] == 200
    assert manifest["origins"]["good"]["licences"] == {"MIT": 200}
    assert manifest["origins"]["more"]["weight"] == 1.5
    found = Counter(stored(run.directory, "train"))
    assert Counter(found[t] for t in found if t.startswith("good")).keys() == {2}
    more = Counter(found[t] for t in found if t.startswith("more"))
    assert more.keys() == {1, 2}
    assert 0.3 < more[2] / more.total() < 0.7
    assert not any(text.startswith(("bad", "dull")) for text in found)
    held_out = Counter(stored(run.directory, "validation"))
    assert set(held_out.values()) == {1}
    assert not held_out.keys() & found.keys()
    wrong = PrepareConfig(validation_fraction=0.2, weights={"god": 1.0})
    with pytest.raises(ValueError, match=r"weights\.god.*did you mean 'good'"):
        prepare([tmp_path / "a.jsonl"], tiny_tokenizer(), wrong, run)


def test_broken_lines_are_listed_and_too_many_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"text": "{n}"}}\nbroken\n' for n in range(30)))
    config = PrepareConfig(validation_fraction=0.2, max_broken=30)
    run = Run.create(tmp_path / "data", "prepare", config, [])
    manifest = prepare([source], tiny_tokenizer(), config, run)
    assert manifest["documents"]["broken_lines"] == 30
    listed = [json.loads(x) for x in (run.directory / "broken.jsonl").read_text().splitlines()]
    assert listed[0] == {"place": f"{source}:2", "reason": "Expecting value"}
    assert len(listed) == 30
    assert capsys.readouterr().err.count("; skipped") == 10
    strict = PrepareConfig(validation_fraction=0.2, max_broken=29)
    with pytest.raises(BadInputError, match=r"a\.jsonl:60: .*number 30 of 30.*broken\.jsonl"):
        prepare([source], tiny_tokenizer(), strict, run)


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


def test_an_unreadable_shard_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = prepared(tmp_path)

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("training.data.shards.file_sha256", refuse)
    with pytest.raises(ValueError, match=r"train-00000\.bin cannot be read \(Permission denied\)"):
        verify(directory)


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
