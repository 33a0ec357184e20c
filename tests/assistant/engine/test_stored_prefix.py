"""The system prompt's keys and values that come with a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from assistant.bundle import BUNDLE_FILE, Bundle, file_sha256, load_bundle
from assistant.chat import GenerationOptions
from assistant.conversation import Message, encode_conversation, encode_prompt
from assistant.engine.chat_model import OnnxChatModel
from assistant.engine.generator import TextGenerator
from assistant.engine.stored_prefix import model_hashes, stored_prefix
from assistant.errors import ModelError
from tests.support.tiny import tiny_chat
from training.exporting.export import export_bundle

OPTIONS = GenerationOptions(max_tokens=12)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Bundle:
    directory = tmp_path_factory.mktemp("bundles") / "tiny"
    return export_bundle(tiny_chat(context_length=256), directory, "tiny")


@pytest.fixture
def bundle(exported, tmp_path) -> Bundle:
    return load_bundle(Path(shutil.copytree(exported.directory, tmp_path / "tiny")))


def prompt_of(bundle: Bundle, question: str = "Hi") -> list[int]:
    system = Message("system", str(bundle.chat["system_prompt"]))
    return encode_prompt([system, Message("user", question)], bundle.tokenizer())


def system_tokens(bundle: Bundle) -> list[int]:
    system = Message("system", str(bundle.chat["system_prompt"]))
    return encode_conversation([system], bundle.tokenizer())[0]


def changed(bundle: Bundle, **prefix: Any) -> Bundle:
    """The bundle with other facts about the prefix, and the hash of its file as it is."""
    path = bundle.directory / BUNDLE_FILE
    data = json.loads(path.read_text())
    data["prefix"] |= prefix
    name = data["prefix"]["file"]
    data["files"][name] = file_sha256(bundle.directory / name)
    path.write_text(json.dumps(data))
    return load_bundle(bundle.directory)


def tokens_read(bundle: Bundle, prompt: list[int], monkeypatch) -> int:
    """How many tokens a fresh engine computes until it has read a prompt."""
    generator = TextGenerator(bundle, threads=1)
    read = []
    forward = generator.forward
    monkeypatch.setattr(generator, "forward", lambda i, *w: read.append(len(i)) or forward(i, *w))
    assert generator.read(prompt, Event()) is not None
    return sum(read)


def test_the_first_question_pays_for_itself_alone(bundle, monkeypatch):
    prompt = prompt_of(bundle)
    held = len(system_tokens(bundle))
    assert held >= 32
    assert tokens_read(bundle, prompt, monkeypatch) == len(prompt) - held


def test_what_is_stored_is_what_the_model_computes(bundle):
    tokens = system_tokens(bundle)
    generator = TextGenerator(bundle, threads=1)
    generator.forward(tokens)  # computed: forward asks no cache
    snapshot = stored_prefix(bundle)
    assert snapshot is not None
    assert list(snapshot.tokens) == tokens
    for buffer, stored in zip(generator._buffers, snapshot.arrays, strict=True):
        # float16 has 11 bits
        np.testing.assert_allclose(stored, buffer[0, :, : len(tokens)], rtol=2e-3, atol=2e-3)


def test_answers_are_those_of_a_model_that_reads_the_system_prompt_itself(bundle):
    prompt = prompt_of(bundle, "What else is there?")
    answers = []
    for known in (bundle, changed(bundle, computed_from={})):
        generator = TextGenerator(known, threads=1)
        answers.append(list(generator.generate(prompt, OPTIONS, frozenset(), Event())))
    assert len(answers[0]) == 12
    assert answers[0] == answers[1]


def test_another_system_prompt_is_read_as_a_whole(bundle, monkeypatch):
    prompt = encode_prompt(
        [Message("system", "Be brief."), Message("user", "Hi")], bundle.tokenizer()
    )
    assert tokens_read(bundle, prompt, monkeypatch) == len(prompt)


def test_what_other_weights_computed_is_not_used(bundle, monkeypatch):
    prompt = prompt_of(bundle)
    known = model_hashes(bundle)
    assert set(known) == {"model.onnx", "model.onnx.0.data"}
    stale = known | {"model.onnx.0.data": "0" * 64}
    assert tokens_read(changed(bundle, computed_from=stale), prompt, monkeypatch) == len(prompt)


@pytest.mark.parametrize(
    "damage", ["shape", "number", "pickle", "text", "nothing", "one token less"]
)
def test_what_does_not_fit_is_not_used(bundle, monkeypatch, damage):
    path = bundle.directory / bundle.prefix["file"]
    stored = np.load(path)
    tokens = bundle.prefix["tokens"]
    if damage == "shape":
        np.save(path, stored[:, :, :, :, :-1])
    elif damage == "number":
        stored[1, 0, 0, 3, 2] = np.nan
        np.save(path, stored)
    elif damage == "pickle":
        np.save(path, np.array([print], object), allow_pickle=True)
    elif damage == "nothing":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("nothing of the kind")
    else:
        tokens = tokens[:-1]
    prompt = prompt_of(bundle)
    assert tokens_read(changed(bundle, tokens=tokens), prompt, monkeypatch) == len(prompt)


def test_a_changed_byte_is_found_while_loading(bundle):
    path = bundle.directory / bundle.prefix["file"]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=f"is damaged: {path.name}"):
        OnnxChatModel(bundle, threads=1)


@pytest.mark.parametrize(
    "prefix",
    [{"tokens": ["a"]}, {"tokens": 3}, {"computed_from": "it"}, {"file": "../elsewhere.npy"}],
)
def test_facts_that_make_no_sense_are_refused(bundle, prefix):
    path = bundle.directory / BUNDLE_FILE
    data = json.loads(path.read_text())
    data["prefix"] |= prefix
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError):
        load_bundle(bundle.directory)


def test_a_prompt_longer_than_the_window_is_not_stored(tmp_path):
    bundle = export_bundle(tiny_chat(context_length=32), tmp_path / "tiny", "tiny")
    assert bundle.prefix == {}
    assert stored_prefix(bundle) is None
