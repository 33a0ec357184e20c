"""Sampling against closed forms and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assistant.chat import GenerationOptions
from assistant.engine.sampling import Sampler, filtered, penalize, repeating
from assistant.errors import ModelError

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.07, 0.03], np.float32))


def test_temperature_gives_torchs_softmax():
    logits = np.random.default_rng(0).normal(size=100).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits).double() / 0.7, -1).numpy()
    np.testing.assert_allclose(filtered(logits, GenerationOptions(temperature=0.7)), expected)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (GenerationOptions(temperature=1, top_k=2), 2),
        (GenerationOptions(temperature=1, top_k=99), 5),
        (GenerationOptions(temperature=1, top_p=0.74), 2),  # 0.5 + 0.25 reach it
        (GenerationOptions(temperature=1, top_p=0.76), 3),
        (GenerationOptions(temperature=1, top_p=0.001), 1),
        (GenerationOptions(temperature=1, min_p=0.2), 3),  # at least 0.2 of 0.5
    ],
)
def test_filters_keep_the_right_tokens(options, kept):
    probabilities = filtered(LOGITS, options)
    assert np.count_nonzero(probabilities) == kept
    expected = np.exp(LOGITS[:kept]) / np.exp(LOGITS[:kept]).sum()
    np.testing.assert_allclose(probabilities[:kept], expected, rtol=1e-5)


def test_temperature_zero_is_greedy_and_draws_nothing():
    assert {Sampler(GenerationOptions()).choose(LOGITS, []) for _ in range(20)} == {0}


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others():
    def draw(seed):
        sampler = Sampler(GenerationOptions(temperature=1.0, seed=seed))
        return [sampler.choose(LOGITS, []) for _ in range(50)]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_draws_follow_the_probabilities():
    sampler = Sampler(GenerationOptions(temperature=1.0, seed=1))
    counts = np.bincount([sampler.choose(LOGITS, []) for _ in range(4000)], minlength=5)
    np.testing.assert_allclose(counts / 4000, np.exp(LOGITS), atol=0.03)


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_scores():
    logits = np.array([2.0, -2.0, 1.0], np.float32)
    np.testing.assert_allclose(penalize(logits, [0, 1, 0], 2.0), [1.0, -4.0, 1.0])
    np.testing.assert_allclose(logits, [2.0, -2.0, 1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_an_error(bad):
    logits = LOGITS.copy()
    logits[3] = bad
    with pytest.raises(ModelError, match="no numbers"):
        Sampler(GenerationOptions()).choose(logits, [])


def test_no_run_of_tokens_comes_twice():
    # a model that would say 1 2 3 1 2 3 for ever
    sampler = Sampler(GenerationOptions(no_repeat_ngram=3))
    answer: list[int] = []
    for _ in range(60):
        logits = np.zeros(50, np.float32)
        logits[1 + len(answer) % 3] = 5.0
        answer.append(sampler.choose(logits, answer))
    runs = [tuple(answer[i : i + 3]) for i in range(len(answer) - 2)]
    assert answer[:5] == [1, 2, 3, 1, 2]
    assert len(set(runs)) == len(runs)


def test_without_the_option_runs_may_repeat():
    sampler = Sampler(GenerationOptions())
    answer = [1, 2, 3, 1, 2]
    logits = np.array([0, 0, 0, 5, 0], np.float32)
    assert sampler.choose(logits, answer) == 3
    assert repeating(answer, 0) == []
    assert repeating(answer, 3) == [3]


def test_no_run_of_half_as_many_tokens_comes_a_third_time():
    answer = [1, 2, 3, 8, 1, 2, 3, 9, 1, 2]
    logits = np.array([0, 0, 4, 5, 0, 0, 0, 0, 0, 0], np.float32)
    assert repeating(answer, 3, times=2) == [3]
    assert repeating(answer[:6], 3, times=2) == []
    assert Sampler(GenerationOptions(no_repeat_ngram=6)).choose(logits, answer) == 2
    assert Sampler(GenerationOptions(no_repeat_ngram=6)).choose(logits, answer[:6]) == 3
