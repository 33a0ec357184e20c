"""Checkpoints: whole or not there, and never less than the one before."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny import tiny_chat, tiny_classifier
from training import checkpoint as checkpoint_module
from training.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    pairs = zip(one.transformer.parameters(), other.transformer.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = tiny_classifier(pooling="mean")
    saved.provenance = {"commit": "abc"}
    save_checkpoint(tmp_path / "c", saved, {"a": torch.arange(3)}, {"step": 4})
    loaded = load_checkpoint(tmp_path / "c")
    assert same_weights(saved, loaded)
    assert loaded.classifier is not None
    assert saved.classifier is not None
    assert torch.equal(saved.classifier.score.weight, loaded.classifier.score.weight)
    assert loaded.classifier.pooling == "mean"
    assert (loaded.labels, loaded.extra, loaded.provenance) == (
        saved.labels,
        saved.extra,
        saved.provenance,
    )
    assert loaded.tokenizer.encode("the other") == saved.tokenizer.encode("the other")
    tensors, state = load_state(tmp_path / "c")
    assert tensors["a"].tolist() == [0, 1, 2]
    assert state == {"step": 4}


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("place", ["write_ranks", "save_file", "fsync", "rename", "second rename"])
def test_a_crash_while_writing_leaves_the_previous_checkpoint(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tiny_chat(), tiny_chat(seed=9)
    save_checkpoint(tmp_path / "c", before)
    renames = iter(range(10))
    rename = Path.rename

    def crash(*arguments: Any, **options: Any) -> None:
        raise Crash

    def crash_at_rename(self: Path, target: Path) -> Path:
        if next(renames) == ("second" in place):
            raise Crash
        return rename(self, target)

    with monkeypatch.context() as patched:
        if place == "fsync":
            patched.setattr(os, "fsync", crash)
        elif "rename" in place:
            patched.setattr(Path, "rename", crash_at_rename)
        else:
            patched.setattr(checkpoint_module, place, crash)
        with pytest.raises(Crash):
            save_checkpoint(tmp_path / "c", after, {}, {"step": 1})
    assert same_weights(load_checkpoint(tmp_path / "c"), before)
    save_checkpoint(tmp_path / "c", after)
    assert same_weights(load_checkpoint(tmp_path / "c"), after)
    assert [path.name for path in tmp_path.glob("*c*.old")] == []


@pytest.mark.parametrize("room", [100, 20_000], ids=["for nothing", "not for the weights"])
def test_a_full_disk_is_one_clear_error_and_leaves_the_previous_checkpoint(
    room: int, tmp_path: Path
) -> None:
    place, before, after = tmp_path / "runs" / "c", tiny_chat(), tiny_chat(seed=9)
    save_checkpoint(place, before)
    assert (place / "model.safetensors").stat().st_size > 20_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))  # as a full disk: writes fail
    try:
        with pytest.raises(ValueError, match="could not be written") as found:
            save_checkpoint(place, after, {}, {"step": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "File too large" in str(found.value)
    assert str(found.value).endswith("the one saved before is still there")
    assert same_weights(load_checkpoint(place), before)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["c"]


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "c")
    save_checkpoint(tmp_path / "c", tiny_chat())
    with pytest.raises(ValueError, match="no training state"):
        load_state(tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(tmp_path / "c")
    (tmp_path / "c" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(tmp_path / "c")
