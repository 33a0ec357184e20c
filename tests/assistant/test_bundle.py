from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from assistant.bundle import (
    Architecture,
    Bundle,
    damaged_files,
    file_sha256,
    find_bundle,
    list_bundles,
    load_bundle,
)
from assistant.errors import ModelError
from assistant.tokenizer import TokenizerSpec, write_ranks


def write_bundle(directory: Path, **changes: Any) -> Bundle:
    directory.mkdir(parents=True)
    write_ranks(directory / "tokenizer.tiktoken", {bytes([n]): n for n in range(256)})
    (directory / "model.onnx").write_bytes(b"weights")
    facts: dict[str, Any] = {
        "directory": directory,
        "name": directory.name,
        "task": "chat",
        "architecture": Architecture(1, 8, 2, 1, 4, 16, 257),
        "context_length": 64,
        "tokenizer_spec": TokenizerSpec("tokenizer.tiktoken", r"\S+|\s+", {"<|im_end|>": 256}, 257),
        "graph": {"file": "model.onnx"},
        "files": {
            name: file_sha256(directory / name) for name in ("tokenizer.tiktoken", "model.onnx")
        },
        "chat": {"system_prompt": "Be kind."},
        "golden": [{"question": "q", "prompt": [1], "answer": [2]}],
        "provenance": {"foundation": "none"},
        "description": "d",
    }
    bundle = Bundle(**(facts | changes))
    (directory / "bundle.json").write_text(json.dumps(bundle.to_json()))
    return bundle


@pytest.fixture
def models() -> Path:
    return Path(os.environ["FRONTDESK_MODELS"])


def test_a_bundle_reads_back_as_it_was_written(models: Path) -> None:
    written = write_bundle(models / "one")
    assert load_bundle(models / "one") == written
    assert written.size_bytes == sum((models / "one" / n).stat().st_size for n in written.files)
    assert written.tokenizer().decode(written.tokenizer().encode("hello")) == "hello"


def test_a_classifier_reads_back_as_it_was_written(models: Path) -> None:
    written = write_bundle(
        models / "one", task="classification", chat={}, classification={"labels": ["ham", "spam"]}
    )
    assert load_bundle(models / "one") == written


def change(path: Path, **fields: Any) -> None:
    data = json.loads(path.read_text())
    data.update(fields)
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not ...}, default=str))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format_version": 2}, "format 2"),
        ({"format_version": "x"}, "damaged"),
        ({"task": "divination"}, "unknown task"),
        ({"architecture": {"layers": 1}}, "damaged"),
        ({"architecture": None}, "damaged"),
        ({"context_length": None}, "damaged"),
        ({"tokenizer": {}}, "damaged"),
        ({"graph": {}}, "damaged"),
        ({"files": {}}, "no hash of model.onnx, tokenizer.tiktoken"),
        ({"files": []}, "damaged"),
        ({"graph": {"file": "../../elsewhere.onnx"}}, "no hash of"),
    ],
)
def test_a_bundle_with_a_wrong_field_is_refused(
    models: Path, fields: dict[str, Any], said: str
) -> None:
    write_bundle(models / "one")
    change(models / "one" / "bundle.json", **fields)
    with pytest.raises(ModelError, match=said):
        load_bundle(models / "one")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_bundle_is_refused(models: Path, content: bytes) -> None:
    write_bundle(models / "one")
    (models / "one" / "bundle.json").write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_bundle(models / "one")


def test_a_bundle_cannot_name_files_outside_its_folder(models: Path) -> None:
    bundle = write_bundle(models / "one")
    change(models / "one" / "bundle.json", files={**bundle.files, "../secret": "0"})
    with pytest.raises(ModelError, match="outside"):
        load_bundle(models / "one")


def test_a_missing_file_is_named(models: Path) -> None:
    write_bundle(models / "one")
    (models / "one" / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx is missing"):
        load_bundle(models / "one")


def test_a_changed_file_is_found_by_its_hash(models: Path) -> None:
    bundle = write_bundle(models / "one")
    assert damaged_files(bundle) == []
    (models / "one" / "model.onnx").write_bytes(b"Weights")
    assert damaged_files(bundle) == ["model.onnx"]


def test_a_bundle_is_found_by_name_and_by_path(models: Path, tmp_path: Path) -> None:
    write_bundle(models / "one")
    write_bundle(tmp_path / "elsewhere" / "two")
    assert find_bundle("one").name == "one"
    assert find_bundle(str(tmp_path / "elsewhere" / "two"), "chat").name == "two"


def test_a_model_of_another_task_or_none_is_refused(models: Path) -> None:
    write_bundle(models / "one")
    with pytest.raises(ModelError, match="not for classification"):
        find_bundle("one", "classification")
    with pytest.raises(ModelError, match="no model named 'two'"):
        find_bundle("two")


def test_a_damaged_bundle_does_not_hide_the_others(models: Path) -> None:
    write_bundle(models / "one")
    write_bundle(models / "two")
    (models / "one" / "bundle.json").write_text("{")
    (models / "empty").mkdir()
    bundles, errors = list_bundles()
    assert [bundle.name for bundle in bundles] == ["two"]
    assert len(errors) == 1


def test_the_data_directory_holds_models_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FRONTDESK_MODELS")
    write_bundle(tmp_path / "data" / "models" / "mine")
    assert find_bundle("mine").name == "mine"
