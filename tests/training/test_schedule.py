"""The learning-rate schedule against its closed form."""

from __future__ import annotations

import pytest

from training.schedule import multiplier


def test_it_rises_stays_and_falls_to_zero() -> None:
    assert 0 < multiplier(0.0, 0.1, 0.5) < 0.05
    assert multiplier(0.05, 0.1, 0.5) == pytest.approx(0.5)
    for progress in (0.1, 0.3, 0.5):
        assert multiplier(progress, 0.1, 0.5) == 1.0
    assert multiplier(0.75, 0.1, 0.5) == pytest.approx(0.5)
    assert multiplier(1.0, 0.1, 0.5) == 0.0
    assert multiplier(1.0, 0.1, 0.5, floor=0.1) == pytest.approx(0.1)


def test_beyond_the_end_it_stays_at_the_floor() -> None:
    assert multiplier(1.7, 0.0, 0.5) == 0.0


def test_without_warmup_and_decay_it_is_one() -> None:
    assert [multiplier(p / 10, 0.0, 0.0) for p in range(11)] == [1.0] * 11


@pytest.mark.parametrize(("warmup", "decay"), [(-0.1, 0.5), (0.6, 0.6)])
def test_fractions_that_do_not_fit_are_refused(warmup: float, decay: float) -> None:
    with pytest.raises(ValueError, match="together at most 1"):
        multiplier(0.5, warmup, decay)
