"""The decode loop against torch, and what it does at its edges."""

from __future__ import annotations

from threading import Event

import pytest
import torch

from assistant.chat import GenerationOptions
from assistant.engine import generator as generator_module
from assistant.engine.generator import TextGenerator
from assistant.errors import BadInputError, ModelError
from tests.support.tiny import tiny_chat
from training.exporting.export import export_bundle

NO_STOP: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def checkpoint():
    return tiny_chat()


@pytest.fixture(scope="module")
def bundle(checkpoint, tmp_path_factory):
    return export_bundle(
        checkpoint, tmp_path_factory.mktemp("bundle") / "b", "b", quantization="float32"
    )


@pytest.fixture
def generator(bundle):
    return TextGenerator(bundle, threads=1)


def run(generator, prompt, stop=NO_STOP, cancel=None, **options):
    """Return (tokens, reason)."""
    tokens = []
    stream = generator.generate(prompt, GenerationOptions(**options), stop, cancel or Event())
    while True:
        try:
            tokens.append(next(stream))
        except StopIteration as end:
            return tokens, end.value


def torch_greedy(checkpoint, prompt, count):
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(checkpoint.transformer(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("prompt", [[5], [9, 8, 7], list(range(20, 50))])
def test_greedy_output_equals_torch(checkpoint, generator, prompt):
    tokens, reason = run(generator, prompt, max_tokens=24)
    assert tokens == torch_greedy(checkpoint, prompt, 24)
    assert reason == "length"


def test_prefill_in_pieces_gives_the_same(checkpoint, generator, monkeypatch):
    monkeypatch.setattr(generator_module, "PREFILL_TOKENS", 7)
    prompt = list(range(20, 50))
    assert run(generator, prompt, max_tokens=8)[0] == torch_greedy(checkpoint, prompt, 8)


def test_a_continued_conversation_pays_only_for_what_is_new(checkpoint, generator, monkeypatch):
    first, _ = run(generator, [9, 8, 7, 6], max_tokens=5)
    computed = []
    forward = TextGenerator.forward
    monkeypatch.setattr(
        TextGenerator,
        "forward",
        lambda self, ids, wanted=None: computed.append(len(ids)) or forward(self, ids, wanted),
    )
    prompt = [9, 8, 7, 6, *first, 30, 31]
    tokens, _ = run(generator, prompt, max_tokens=3)
    assert tokens == torch_greedy(checkpoint, prompt, 3)
    # the first answer's last token was never fed; it and the two new ones are
    assert computed[0] <= 3


def test_another_conversation_does_not_see_the_old_cache(checkpoint, generator):
    run(generator, [9, 8, 7, 6], max_tokens=5)
    prompt = [9, 8, 50, 51, 52]
    assert run(generator, prompt, max_tokens=5)[0] == torch_greedy(checkpoint, prompt, 5)


def test_a_stop_token_ends_the_answer_and_is_not_part_of_it(checkpoint, generator):
    expected = torch_greedy(checkpoint, [5, 6], 10)
    stop = expected[4]
    tokens, reason = run(generator, [5, 6], stop=frozenset({stop}), max_tokens=50)
    assert tokens == expected[: expected.index(stop)]
    assert reason == "end"


def test_a_full_context_ends_the_answer(generator):
    tokens, reason = run(generator, list(range(20, 80)), max_tokens=50)
    assert reason == "context"
    assert len(tokens) == 64 - 60 + 1  # the last one needs no room of its own


@pytest.mark.parametrize("length", [64, 65, 500])
def test_a_prompt_that_leaves_no_room_is_refused_with_numbers(generator, length):
    with pytest.raises(BadInputError, match=f"has {length} tokens, the model reads 64"):
        run(generator, [7] * length)


def test_an_empty_prompt_is_refused(generator):
    with pytest.raises(BadInputError, match="empty"):
        run(generator, [])


def test_cancelling_stops_within_a_token_and_leaves_the_cache_usable(checkpoint, generator):
    cancel = Event()
    tokens = []
    for token in generator.generate([5, 6], GenerationOptions(max_tokens=50), NO_STOP, cancel):
        tokens.append(token)
        if len(tokens) == 3:
            cancel.set()
    assert len(tokens) == 3
    assert run(generator, [5, 6], max_tokens=6)[0] == torch_greedy(checkpoint, [5, 6], 6)


def test_cancelling_during_prefill_yields_nothing(generator):
    cancel = Event()
    cancel.set()
    assert run(generator, list(range(20, 60)), cancel=cancel) == ([], "stopped")


def test_an_abandoned_stream_leaves_the_cache_usable(checkpoint, generator):
    stream = generator.generate([5, 6], GenerationOptions(), NO_STOP, Event())
    next(stream)
    stream.close()
    assert run(generator, [5, 6], max_tokens=6)[0] == torch_greedy(checkpoint, [5, 6], 6)


def test_two_engines_at_once_do_not_disturb_each_other(bundle, checkpoint):
    one, two = TextGenerator(bundle, threads=1), TextGenerator(bundle, threads=1)
    streams = [
        one.generate([5, 6], GenerationOptions(max_tokens=6), NO_STOP, Event()),
        two.generate([40, 41, 42], GenerationOptions(max_tokens=6), NO_STOP, Event()),
    ]
    pairs = list(zip(*streams, strict=True))
    assert [a for a, _ in pairs] == torch_greedy(checkpoint, [5, 6], 6)
    assert [b for _, b in pairs] == torch_greedy(checkpoint, [40, 41, 42], 6)


def test_a_failing_runtime_is_a_model_error_and_clears_the_cache(generator, monkeypatch):
    run(generator, [5, 6], max_tokens=2)

    class Broken:
        def run_with_iobinding(self, binding):
            raise RuntimeError("bad allocation")

    session = generator._session
    monkeypatch.setattr(generator, "_session", Broken())
    with pytest.raises(ModelError, match="bad allocation"):
        generator.forward([7])
    monkeypatch.setattr(generator, "_session", session)
    assert generator.cached_tokens == 0
