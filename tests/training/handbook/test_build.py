"""The exported encoder against torch, the folder around it, and the bundle it goes into."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from assistant.bundle import damaged_files, load_bundle
from assistant.conversation import HandbookEntry
from assistant.engine.chat_model import OnnxChatModel
from assistant.errors import ModelError
from assistant.handbook.encoder import OnnxTextEncoder, text_ids
from assistant.handbook.search import HandbookSettings
from assistant.tokenizer import END_OF_TEXT
from tests.support.encoder import tiny_encoder
from tests.support.handbook import ENTRIES
from tests.support.tiny import tiny_chat, tiny_classifier
from training.encoder import Encoder
from training.exporting.export import export_bundle
from training.exporting.quantization import Quantization
from training.handbook.attach import attach_handbook
from training.handbook.build import (
    build_handbook,
    open_handbook,
    read_facts,
    renew_handbook,
)
from training.handbook.command import command
from training.handbook.graph import build_text_encoder_graph

SETTINGS = HandbookSettings(0.2, 0.3, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A handbook of the tiny entries."""
    build_handbook(tiny_encoder(), ENTRIES, tmp_path / "handbook", SETTINGS, {"a": "b"})
    return tmp_path / "handbook"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An exported chat bundle."""
    export_bundle(tiny_chat(context_length=512), tmp_path / "chat", "chat")
    return tmp_path / "chat"


@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize(("quantization", "least"), [("float32", 0.99999), ("int8", 0.98)])
def test_the_vector_is_the_mean_of_states(
    tmp_path: Path, width: int, quantization: Quantization, least: float
) -> None:
    checkpoint = tiny_encoder(width)
    encoder, tokenizer = checkpoint.transformer, checkpoint.tokenizer
    assert isinstance(encoder, Encoder)
    build_text_encoder_graph(encoder, quantization, tmp_path / "g.onnx", 40)
    ours = OnnxTextEncoder(tmp_path / "g.onnx", tokenizer, 40)
    for text in ("how do i reset my password?", "a", "", "the router blinks " * 9):
        ids = torch.tensor([text_ids(tokenizer, text, 40)])
        with torch.no_grad():
            mean = encoder.mean(ids, torch.tensor([ids.shape[1]]))[0]
        vector = ours.encode(text)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert float(vector @ torch.nn.functional.normalize(mean, dim=0).numpy()) > least


def test_a_text_is_read_between_start_and_end_and_cut() -> None:
    tokenizer = tiny_encoder().tokenizer
    start, end = tokenizer.ranks[b"[CLS]"], tokenizer.special(END_OF_TEXT)
    assert text_ids(tokenizer, "", 8) == [start, end]
    ids = text_ids(tokenizer, "[SEP] " + "a b " * 10**6, 16)
    assert len(ids) == 16
    assert (ids[0], ids[-1]) == (start, end)
    assert end not in ids[:-1]


def test_a_built_folder_opens_again_and_finds(folder: Path) -> None:
    opened = open_handbook(folder)
    assert opened.entries == ENTRIES
    assert opened.settings == SETTINGS
    best = opened.find(["I was charged twice"])[0]
    assert best.entry.id == "bil-0001"
    assert best.score == pytest.approx(1, abs=1e-3)
    facts = read_facts(folder)
    named = {*facts["files"].values(), *facts["data"], "handbook.json"}
    assert {path.name for path in folder.iterdir()} == named


def test_known_texts_are_not_encoded_again_unless_the_encoder_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = OnnxTextEncoder.encode
    monkeypatch.setattr(
        OnnxTextEncoder, "encode", lambda self, text: encoded.append(text) or encode(self, text)
    )
    before = np.load(folder / "handbook.npy")
    more = HandbookEntry("x", "t", "a new question", "an answer")
    build_handbook(tiny_encoder(), [*ENTRIES[1:], more], folder, SETTINGS)
    assert encoded == ["a new question"]
    np.testing.assert_array_equal(np.load(folder / "handbook.npy")[:3], before[3:])
    other = tiny_encoder()
    with torch.no_grad():
        next(other.transformer.parameters()).mul_(1.5)
    build_handbook(other, ENTRIES, folder, SETTINGS)
    assert len(encoded) == 1 + 6


def test_a_language_model_is_no_encoder_for_a_handbook(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a sentence encoder"):
        build_handbook(tiny_chat(), ENTRIES, tmp_path / "h", SETTINGS)
    with pytest.raises(ValueError, match="No entry"):
        build_handbook(tiny_encoder(), [], tmp_path / "h", SETTINGS)


def test_a_folder_that_holds_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no handbook"):
        read_facts(tmp_path)
    facts = {"files": {"graph": "../x"}, "data": []}
    (tmp_path / "handbook.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ValueError, match="not in the folder"):
        read_facts(tmp_path)


def test_a_bundle_takes_a_handbook_and_keeps_its_weights(folder: Path, bundle: Path) -> None:
    before = load_bundle(bundle)
    weights = {name: (bundle / name).read_bytes() for name in before.files if name != "README.md"}
    changed = attach_handbook(folder, bundle)
    assert changed.handbook["entry_count"] == len(ENTRIES)
    assert damaged_files(changed) == []
    assert {name: (bundle / name).read_bytes() for name in weights} == weights
    assert changed.golden == before.golden
    assert "## Handbook" in (bundle / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in bundle.iterdir()} == {*changed.files, "bundle.json"}
    model = OnnxChatModel(changed, threads=1)
    ((entry, score),) = model.find_entries(["What is 15% of 80?"])
    assert (entry.answer, score) == ("15% of 80 is 12.", 1.0)
    ((entry, score),) = model.find_entries(["I was charged twice"])[:1]
    assert entry == ENTRIES[3]
    assert score == pytest.approx(1, abs=1e-3)


def test_a_handbook_can_be_replaced(folder: Path, bundle: Path, tmp_path: Path) -> None:
    attach_handbook(folder, bundle)
    build_handbook(tiny_encoder(), ENTRIES[:1], tmp_path / "other", SETTINGS)
    changed = attach_handbook(tmp_path / "other", bundle)
    assert changed.handbook["entry_count"] == 1
    assert damaged_files(changed) == []
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert card.count("## Handbook") == 1
    assert {path.name for path in bundle.iterdir()} == {*changed.files, "bundle.json"}


def test_a_failed_attachment_leaves_the_bundle(folder: Path, bundle: Path, tmp_path: Path) -> None:
    before = (bundle / "bundle.json").read_bytes()
    (folder / "handbook.npy").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="damaged"):
        attach_handbook(folder, bundle)
    assert (bundle / "bundle.json").read_bytes() == before
    export_bundle(tiny_classifier(), tmp_path / "spam", "spam")
    build_handbook(tiny_encoder(), ENTRIES, folder, SETTINGS)
    with pytest.raises(ValueError, match="goes with a chat bundle"):
        attach_handbook(folder, tmp_path / "spam")


def test_a_changed_handbook_is_a_damaged_bundle(folder: Path, bundle: Path) -> None:
    attach_handbook(folder, bundle)
    with (bundle / "handbook.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    assert damaged_files(load_bundle(bundle)) == ["handbook.jsonl"]
    data = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    del data["files"]["handbook.npy"]
    (bundle / "bundle.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ModelError, match=r"no hash of handbook\.npy"):
        load_bundle(bundle)


def test_the_command_attaches(folder: Path, bundle: Path) -> None:
    result = CliRunner().invoke(command, ["attach", str(folder), str(bundle)])
    assert result.exit_code == 0, result.output
    assert "entries: 4" in result.output


@pytest.mark.parametrize("kind", ["handbook", "bundle"])
def test_a_renewed_handbook_keeps_the_encoder_and_encodes_what_is_new(
    folder: Path, bundle: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder if kind == "handbook" else bundle
    if kind == "bundle":
        attach_handbook(folder, bundle)
    new = HandbookEntry("dev-0001", "device/tv", "My TV is silent", "Check the output.", ())
    encoded = []
    encode = OnnxTextEncoder.encode
    monkeypatch.setattr(
        OnnxTextEncoder, "encode", lambda self, text: encoded.append(text) or encode(self, text)
    )
    renewed = renew_handbook(source, [*ENTRIES[1:], new], tmp_path / "new", {"data": {"a": "c"}})
    assert encoded == ["My TV is silent"]
    assert renewed.entries == [*ENTRIES[1:], new]
    assert renewed.settings == SETTINGS
    assert renewed.find(["My TV is silent"])[0].score == pytest.approx(1, abs=1e-3)
    facts = read_facts(tmp_path / "new")
    assert facts["entry_count"] == len(ENTRIES)
    assert facts["provenance"] == {"data": {"a": "c"}}
    for name in (facts["files"]["graph"], *facts["data"]):
        assert (tmp_path / "new" / name).read_bytes() == (source / name).read_bytes()
    attach_handbook(tmp_path / "new", bundle)
    assert not damaged_files(load_bundle(bundle))


def test_a_handbook_is_not_renewed_over_itself(folder: Path) -> None:
    with pytest.raises(ValueError, match="give -o"):
        renew_handbook(folder, ENTRIES, folder)
    with pytest.raises(ValueError, match="No entry"):
        renew_handbook(folder, [], folder.parent / "other")


def test_the_command_renews(folder: Path, tmp_path: Path) -> None:
    row = {"id": "acc-0001", "topic": "account/a", "kind": "single", "messages": [
        {"role": "user", "content": "Where is my account?"},
        {"role": "assistant", "content": "Under Settings."}]}  # fmt: skip
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    arguments = [
        "build",
        str(folder),
        "-o",
        str(tmp_path / "n"),
        "--data",
        str(tmp_path / "d.jsonl"),
    ]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "entries: 1" in result.output
    assert (tmp_path / "n" / "handbook.onnx").read_bytes() == (
        folder / "handbook.onnx"
    ).read_bytes()
