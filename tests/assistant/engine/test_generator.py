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


def test_no_number_is_an_error_and_the_cache_forgets_what_made_it(checkpoint, generator):
    run(generator, [5, 6, 7], max_tokens=2)
    generator._buffers[0][0, :, 1] = float("nan")
    with pytest.raises(ModelError, match="no numbers"):
        run(generator, [5, 6, 7, 8], max_tokens=2)
    assert run(generator, [5, 6, 7, 8], max_tokens=6)[0] == torch_greedy(
        checkpoint, [5, 6, 7, 8], 6
    )


def test_a_context_filled_to_the_last_token_answers_with_one(checkpoint, generator):
    prompt = list(range(100, 163))
    tokens, reason = run(generator, prompt, max_tokens=50)
    assert (len(tokens), reason) == (2, "context")
    assert tokens[0] == torch_greedy(checkpoint, prompt, 1)[0]
    generator.rewind([])
    with pytest.raises(BadInputError, match="65 tokens do not fit the model's 64"):
        generator.forward(list(range(65)))


def test_cancelling_between_pieces_of_a_prompt_keeps_what_was_read(
    checkpoint, generator, monkeypatch
):
    monkeypatch.setattr(generator_module, "PREFILL_TOKENS", 10)
    cancel, forward = Event(), TextGenerator.forward

    def second_piece_cancels(self, ids, wanted=None):
        if self.cached_tokens:
            cancel.set()
        return forward(self, ids, wanted)

    prompt = list(range(20, 60))
    monkeypatch.setattr(TextGenerator, "forward", second_piece_cancels)
    assert run(generator, prompt, cancel=cancel) == ([], "stopped")
    assert generator.cached_tokens == 20
    monkeypatch.setattr(TextGenerator, "forward", forward)
    assert run(generator, prompt, max_tokens=4)[0] == torch_greedy(checkpoint, prompt, 4)


def test_a_conversation_comes_back_without_being_read_again(checkpoint, generator, monkeypatch):
    monkeypatch.setattr(generator_module, "WORTH_KEEPING", 4)
    first, second = list(range(20, 50)), [20, 21, *range(100, 120)]
    said, _ = run(generator, first, max_tokens=4)
    run(generator, second, max_tokens=4)
    computed = []
    forward = TextGenerator.forward
    monkeypatch.setattr(
        TextGenerator,
        "forward",
        lambda self, ids, wanted=None: computed.append(len(ids)) or forward(self, ids, wanted),
    )
    prompt = [*first, *said, 60, 61]
    assert run(generator, prompt, max_tokens=4)[0] == torch_greedy(checkpoint, prompt, 4)
    assert computed[0] <= 3
    computed.clear()
    prompt = [*second, 70]
    assert run(generator, prompt, max_tokens=4)[0] == torch_greedy(checkpoint, prompt, 4)
    assert computed[0] <= 2


def test_without_memory_for_it_nothing_is_put_aside(checkpoint, bundle, monkeypatch):
    monkeypatch.setattr(generator_module, "WORTH_KEEPING", 4)
    generator = TextGenerator(bundle, threads=1, prefix_cache_bytes=0)
    run(generator, list(range(20, 50)), max_tokens=4)
    run(generator, list(range(100, 120)), max_tokens=4)
    assert generator.recall(list(range(20, 50))) == 0
    prompt = list(range(20, 50))
    assert run(generator, prompt, max_tokens=4)[0] == torch_greedy(checkpoint, prompt, 4)


class Oracle:
    """Guesses what the model will say, wrong at every third place."""

    def __init__(self, prompt, answer):
        self.said, self.answer = [], answer

    def extend(self, tokens):
        self.said += tokens

    def guess(self, limit):
        assert self.said == self.answer[: len(self.said)]
        place = len(self.said)
        guess = self.answer[place : place + min(limit, 5)]
        return [t if (place + n) % 3 else (t + 1) % 200 for n, t in enumerate(guess)]


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3, "top_k": 40}])
def test_guesses_right_or_wrong_change_nothing_but_the_number_of_steps(
    bundle, generator, monkeypatch, options
):
    options |= {"max_tokens": 30, "repetition_penalty": 1.1}
    plain = TextGenerator(bundle, threads=1, speculate=False)
    expected, reason = run(plain, [9, 8, 7], **options)
    steps = []
    forward = TextGenerator.forward
    monkeypatch.setattr(
        TextGenerator,
        "forward",
        lambda self, ids, wanted=None: steps.append(len(ids)) or forward(self, ids, wanted),
    )
    monkeypatch.setattr(generator_module, "PromptLookup", lambda prompt: Oracle(prompt, expected))
    assert run(generator, [9, 8, 7], **options) == (expected, reason)
    assert len(steps) < 0.7 * len(expected)
    assert max(steps) > 3
    # the cache holds exactly what was said: a continuation is right
    prompt = [9, 8, 7, *expected, 60]
    assert generator.recall(prompt) == len(prompt) - 1


def test_guesses_respect_the_end_of_the_context(bundle, generator, monkeypatch):
    prompt = list(range(20, 70))
    plain = TextGenerator(bundle, threads=1, speculate=False)
    expected = run(plain, prompt, max_tokens=50)
    monkeypatch.setattr(
        generator_module, "PromptLookup", lambda prompt: Oracle(prompt, [*expected[0], 1, 2, 3])
    )
    assert run(generator, prompt, max_tokens=50) == expected
    assert expected[1] == "context"


def test_a_stop_token_among_guesses_ends_the_answer(bundle, generator, monkeypatch):
    plain = TextGenerator(bundle, threads=1, speculate=False)
    all_of_it, _ = run(plain, [5, 6], max_tokens=20)
    stop = frozenset({all_of_it[7]})
    expected = run(plain, [5, 6], stop, max_tokens=20)
    monkeypatch.setattr(generator_module, "PromptLookup", lambda prompt: Oracle(prompt, all_of_it))
    assert run(generator, [5, 6], stop, max_tokens=20) == expected
    assert expected[1] == "end"
