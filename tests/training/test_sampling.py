"""Sampling: the cache changes nothing, every kind of checkpoint answers in its own way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from assistant.conversation import Message, encode_prompt
from tests.support.tiny import tiny_chat, tiny_classifier, tiny_tokenizer, tiny_transformer
from training.__main__ import main
from training.checkpoint import Checkpoint, save_checkpoint
from training.sampling import SamplingOptions, choose, classify, complete, generate

GREEDY = SamplingOptions(max_tokens=12, temperature=0.0)


def test_cached_decoding_equals_computing_everything_anew() -> None:
    transformer = tiny_transformer()
    ids = [5, 90, 17, 200]
    expected = list(ids)
    with torch.no_grad():
        for _ in range(12):
            expected.append(int(transformer(torch.tensor([expected]))[0, -1].argmax()))
    assert list(generate(transformer, ids, GREEDY)) == expected[4:]


def test_generation_ends_at_a_stop_token_and_at_the_end_of_the_context() -> None:
    transformer = tiny_transformer(context_length=16)
    everything = list(generate(transformer, [5, 6, 7], SamplingOptions(100, temperature=0.0)))
    assert len(everything) == 14  # the last position read, 16, gives one token more
    stop = everything[5]
    cut = list(generate(transformer, [5, 6, 7], GREEDY, stop={stop}))
    assert cut == everything[: everything.index(stop)]
    for ids in ([], list(range(3, 19))):
        with pytest.raises(ValueError, match="between 1 and 15 fit"):
            next(generate(transformer, ids, GREEDY))


def test_top_p_keeps_the_smallest_set_and_temperature_zero_the_best() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = torch.Generator().manual_seed(0)

    def drawn(top_p: float) -> set[int]:
        options = SamplingOptions(temperature=1.0, top_p=top_p)
        return {choose(logits, options, generator) for _ in range(300)}

    assert drawn(0.4) == {0}
    assert drawn(0.6) == {0, 1}
    assert drawn(1.0) == {0, 1, 2, 3}
    assert choose(logits.flip(0), SamplingOptions(temperature=0.0), generator) == 3


def test_a_seed_repeats_a_sample() -> None:
    checkpoint = Checkpoint("pretrained", tiny_transformer(), tiny_tokenizer())
    one = "".join(complete(checkpoint, "the", SamplingOptions(seed=4)))
    assert one == "".join(complete(checkpoint, "the", SamplingOptions(seed=4)))
    assert one != "".join(complete(checkpoint, "the", SamplingOptions(seed=5)))


def test_a_chat_checkpoint_is_asked_through_its_template() -> None:
    checkpoint = tiny_chat(context_length=128)
    checkpoint.extra["system_prompt"] = "be kind"
    messages = [Message("system", "be kind"), Message("user", "hi")]
    ids = encode_prompt(messages, checkpoint.tokenizer)
    expected = list(generate(checkpoint.transformer, ids, GREEDY, stop={0, 2}))
    text = checkpoint.tokenizer.decode(expected)
    assert "".join(complete(checkpoint, "hi", GREEDY)) == text


def test_a_classifier_gives_probabilities_that_sum_to_one() -> None:
    checkpoint = tiny_classifier()
    probabilities = classify(checkpoint, "win money now")
    assert probabilities.keys() == {"ham", "spam"}
    assert sum(probabilities.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="not a classifier"):
        classify(tiny_chat(), "text")


def test_the_command_prints_what_the_checkpoint_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sample(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["training", "sample", *arguments])
        main()
        return capsys.readouterr().out

    save_checkpoint(tmp_path / "c", tiny_classifier())
    lines = sample(str(tmp_path / "c"), "win money").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["spam", "ham"]
    assert sum(float(line.split(": ")[1]) for line in lines) == pytest.approx(1.0, abs=2e-4)

    foundation = Checkpoint("pretrained", tiny_transformer(), tiny_tokenizer())
    save_checkpoint(tmp_path / "f", foundation)
    out = sample(str(tmp_path / "f"), "\x1b[31mthe movie", "--max-tokens", "5")
    assert out.startswith("[31mthe movie")
    assert "\x1b" not in out

    with pytest.raises(SystemExit):
        sample(str(tmp_path), "there is no checkpoint here")
    assert "holds no checkpoint" in capsys.readouterr().err
