"""A bundle as a chat model: text, statistics, faults."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Event

import numpy as np
import pytest

from assistant.bundle import BUNDLE_FILE, find_bundle
from assistant.chat import Chunk, Completion, GenerationOptions
from assistant.conversation import (
    HandbookEntry,
    Message,
    encode_conversation,
    encode_prompt,
    handbook_question,
)
from assistant.engine.chat_model import OnnxChatModel, load_chat_model
from assistant.engine.classifier import load_classifier
from assistant.engine.golden import check_golden
from assistant.engine.threads import available_cores
from assistant.errors import ModelError
from tests.support.tiny import tiny_chat, tiny_classifier
from training.exporting.export import export_bundle

QUESTION = [Message("system", "Be brief."), Message("user", "Hi")]


@pytest.fixture
def bundle(tmp_path):
    return export_bundle(
        tiny_chat(context_length=256), tmp_path / "models" / "tiny", "tiny", "d", "int8"
    )


def answer(model, messages=QUESTION, cancel=None, **options):
    """Return all chunks' texts and the completion."""
    *chunks, completion = model.stream(messages, GenerationOptions(**options), cancel or Event())
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    assert isinstance(completion, Completion)
    return [chunk.text for chunk in chunks], completion


def scripted(model, monkeypatch, pieces):
    """Make the generator say these bytes, one token each."""
    encoding = dict(enumerate(pieces))

    def generate(prompt, options, stops, cancel, guard=None, bonus=None):
        yield from range(len(pieces))
        return "end"

    monkeypatch.setattr(model.generator, "generate", generate)
    monkeypatch.setattr(model.tokenizer, "decode_bytes", lambda ids: encoding[ids[0]])


def test_the_same_seed_gives_the_same_answer(bundle):
    model = OnnxChatModel(bundle, threads=1)
    options = {"temperature": 1.0, "seed": 5, "max_tokens": 20}
    assert answer(model, **options)[1].text == answer(model, **options)[1].text


def test_the_completion_carries_the_whole_text_and_honest_counts(bundle):
    model = OnnxChatModel(bundle, threads=1)
    texts, completion = answer(model, max_tokens=12)
    assert completion.text == "".join(texts)
    assert completion.output_tokens <= 12
    assert completion.prompt_tokens == len(encode_prompt(QUESTION, model.tokenizer))
    assert completion.prompt_tokens == model.count_tokens(QUESTION)
    assert completion.time_to_first_token_ms > 0


def test_characters_are_never_split_between_chunks(bundle, monkeypatch):
    model = OnnxChatModel(bundle, threads=1)
    data = "é😀漢".encode()
    scripted(model, monkeypatch, [data[i : i + 1] for i in range(len(data))])
    texts, completion = answer(model)
    assert texts == ["é", "😀", "漢"]
    assert completion.text == "é😀漢"


def test_an_answer_cut_inside_a_character_ends_with_a_replacement(bundle, monkeypatch):
    model = OnnxChatModel(bundle, threads=1)
    scripted(model, monkeypatch, [b"ok", "é".encode()[:1]])
    assert answer(model)[1].text == "ok\ufffd"


def test_control_characters_never_leave_the_model(bundle, monkeypatch):
    model = OnnxChatModel(bundle, threads=1)
    scripted(model, monkeypatch, [b"  a\x1b[31m", b"\x07b\xc2\x9b", "\u202ec".encode()])
    assert answer(model)[1].text == "a[31mbc"


@pytest.mark.parametrize("stop", [("STOP",), ("x", "ST")])
def test_a_stop_text_ends_the_answer_even_across_tokens(bundle, monkeypatch, stop):
    model = OnnxChatModel(bundle, threads=1)
    scripted(model, monkeypatch, [b" one S", b"o two S", b"TO", b"P three", b"four"])
    texts, completion = answer(model, stop=stop)
    assert completion.text == "".join(texts) == "one So two "
    assert completion.stop_reason == "end"


def test_text_held_back_for_a_stop_text_is_said_in_the_end(bundle, monkeypatch):
    model = OnnxChatModel(bundle, threads=1)
    scripted(model, monkeypatch, [b"S", b" and", b" ST"])
    assert answer(model, stop=("STOP",))[1].text == "S and ST"


def test_a_warmed_up_model_reads_only_the_question(bundle, monkeypatch):
    model = OnnxChatModel(bundle, threads=1)
    model.warm_up()
    system = [Message("system", model.system_prompt)]
    question = [*system, Message("user", "Hi")]
    held = len(encode_conversation(system, model.tokenizer)[0])
    assert model.generator.cached_tokens == held
    read = []
    forward = model.generator.forward
    monkeypatch.setattr(
        model.generator, "forward", lambda ids, *more: read.append(len(ids)) or forward(ids, *more)
    )
    answer(model, question, max_tokens=1)
    assert read[0] == model.count_tokens(question) - held


def test_greedy_golden_records_are_reproduced(bundle):
    assert len(bundle.golden) == 2
    assert check_golden(bundle) == []


def test_golden_records_catch_other_weights(bundle, tmp_path):
    other = export_bundle(
        tiny_chat(context_length=256, seed=9), tmp_path / "models" / "other", "other"
    )
    path = other.directory / BUNDLE_FILE
    data = json.loads(path.read_text())
    data["golden"] = bundle.golden
    path.write_text(json.dumps(data))
    problems = check_golden(find_bundle("other"))
    assert problems
    assert "recorded tokens" in problems[0]


def test_a_damaged_weight_file_is_named(bundle):
    path = next(bundle.directory.glob("*.data"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=path.name):
        load_chat_model("tiny")


def test_a_bundle_of_links_loads(bundle):
    links = bundle.directory.with_name("links")
    links.mkdir()
    for path in bundle.directory.iterdir():
        (links / path.name).symlink_to(path)
    assert load_chat_model("links").generator.forward([5]).shape[1] > 200


def test_a_changed_byte_is_found_while_loading(bundle):
    path = next(bundle.directory.glob("*.data"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=f"is damaged: {path.name}"):
        load_chat_model("tiny")


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("[E] bad allocation"), None])
def test_too_little_memory_is_said_with_what_it_needs(bundle, monkeypatch, failure):
    import onnxruntime

    def out_of_memory(*_, **__):
        assert failure is not None
        raise failure

    if failure is None:  # the weights fit, the cache does not
        monkeypatch.setattr("assistant.engine.generator.np.zeros", _no_memory)
    else:
        monkeypatch.setattr(onnxruntime, "InferenceSession", out_of_memory)
    with pytest.raises(ModelError, match=r"Not enough memory to load the model tiny.*MB"):
        OnnxChatModel(bundle, threads=1)


def _no_memory(*_):
    raise MemoryError


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_a_process_that_really_runs_out_of_memory_says_so(bundle):
    # a cache of 6 GB a layer where 3 GB more may be mapped
    code = (
        "import resource, sys\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "import numpy, onnxruntime\n"
        "from assistant.bundle import load_bundle\n"
        "from assistant.engine.generator import TextGenerator\n"
        "from assistant.errors import ModelError\n"
        "bundle = replace(load_bundle(Path(sys.argv[1])), context_length=50_000_000)\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0])\n"
        "limit = pages * resource.getpagesize() + 3 * 2**30\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n"
        "    TextGenerator(bundle, threads=1)\n"
        "except ModelError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle.directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Not enough memory to load the model tiny" in done.stdout


def test_a_graph_that_is_no_graph_is_one_line(bundle, monkeypatch):
    bundle.graph_path.write_bytes(b"nonsense")
    monkeypatch.setattr("assistant.engine.runtime.damaged_files", lambda _: [])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_chat_model("tiny")
    assert "\n" not in str(caught.value)


def test_a_classifier_is_no_chat_model_and_the_other_way_round(bundle, tmp_path):
    export_bundle(tiny_classifier(), tmp_path / "models" / "spam", "spam")
    with pytest.raises(ModelError, match="for classification, not for chat"):
        load_chat_model("spam")
    with pytest.raises(ModelError, match="for chat, not for classification"):
        load_classifier("tiny")


def test_a_classifier_without_its_threshold_says_so(tmp_path):
    bundle = export_bundle(tiny_classifier(), tmp_path / "models" / "spam", "spam")
    data = json.loads((bundle.directory / BUNDLE_FILE).read_text())
    del data["classification"]["threshold"]
    (bundle.directory / BUNDLE_FILE).write_text(json.dumps(data))
    with pytest.raises(ModelError, match="threshold"):
        load_classifier("spam")


def test_a_classifier_that_computes_no_numbers_is_an_error(tmp_path, monkeypatch):
    export_bundle(tiny_classifier(), tmp_path / "models" / "spam", "spam")
    classifier = load_classifier("spam")

    class Broken:
        def run(self, names, inputs):
            return [np.full((len(inputs["lengths"]), 2), np.nan, np.float32)]

    monkeypatch.setattr(classifier, "_session", Broken())
    with pytest.raises(ModelError, match="no numbers"):
        classifier.score(["hello"])


def test_at_least_one_core_is_used():
    assert available_cores() >= 1


def test_an_amount_that_nobody_gave_is_not_said(bundle, monkeypatch):
    """The model wants to write the example of a handbook entry; the person's own amount is fine."""
    model = OnnxChatModel(bundle, threads=1)
    pieces = [b"It costs ", "€12".encode(), "€30".encode(), b"less", b""]
    end = len(pieces) - 1
    entry = HandbookEntry("x", "t", "What does it cost?", "It costs €12.")
    asked = handbook_question("They took €30, why?", [entry])

    def forward(ids, wanted=None):
        rows = 1 if wanted is None else len(wanted)
        logits = np.full((rows, model.generator.vocabulary_size), -9.0, np.float32)
        logits[:, 0] = 5.0 if len(model.generator.steps_taken) == 0 else -9.0
        logits[:, [1, 2, 3]] = [3.0, 2.0, 1.0]
        model.generator.steps_taken.append(ids)
        if len(model.generator.steps_taken) > 3:
            logits[:, end] = 9.0
        model.generator._cached.extend(ids)
        return logits

    def says(**options):
        model.generator.steps_taken = []
        monkeypatch.setattr(model.generator, "forward", forward)
        monkeypatch.setattr(model.generator, "speculate", False)
        monkeypatch.setattr(model, "_stop_tokens", frozenset({end}))
        monkeypatch.setattr(model.tokenizer, "decode_bytes", lambda ids: pieces[ids[0]])
        messages = [Message("user", asked)]
        return answer(model, messages, no_repeat_ngram=0, **options)[1].text

    assert says().startswith("It costs €12")
    assert says(given_facts_only=True).startswith("It costs €30")
