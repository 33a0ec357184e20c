"""Curves: what is drawn is what was logged."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np

from training.plots import curves, loss_png, reliability_png, terminal_plot

ROWS = [
    {"step": 10, "loss": 4.0},
    {"step": 20, "loss": float("nan")},
    {"step": 20, "evaluation": {"bits_per_byte": 3.0, "validation_loss": 2.0}},
    {"step": 30, "loss": 1.0},
    {"step": 40, "loss": 2.0, "evaluation": {"bits_per_byte": 2.5}},
]


def test_curves_hold_the_logged_points_that_are_finite() -> None:
    found = curves(ROWS)
    assert found["training loss"] == [(10, 4.0), (30, 1.0), (40, 2.0)]
    assert found["held-out bits per byte"] == [(20, 3.0), (40, 2.5)]
    assert "held-out loss" not in found  # one point is no curve
    assert curves([]) == {}


def test_the_terminals_plot_has_its_extremes_where_they_belong() -> None:
    falling = [(float(x), 10.0 - x) for x in range(11)]
    lines = terminal_plot(falling, "loss", width=20, height=5).splitlines()
    assert lines[0].strip() == "loss"
    assert lines[1].startswith("10 │")
    assert lines[5].startswith(" 0 │")
    cells = [line.partition("│")[2] for line in lines[1:6]]
    assert all(len(row) == 20 for row in cells)
    blank = chr(0x2800)
    first = next(n for n, row in enumerate(cells) if row[0] != blank)
    last = next(n for n, row in enumerate(cells) if row[-1] != blank)
    assert (first, last) == (0, 4)
    assert lines[-1].split() == ["0", "10"]
    assert all(any(row[n] != blank for row in cells) for n in range(20)), "a line has no gaps"
    flat = terminal_plot([(0.0, 1.0), (5.0, 1.0)], "flat", width=10, height=3)
    assert flat.count("\n") == 5


def test_pictures_are_png_files_with_something_on_them() -> None:
    bins = {"0-0.1": {"n": 10.0, "mean_probability": 0.05, "frequency": 0.1}}
    for data in (loss_png(curves(ROWS)), reliability_png(bins)):
        assert data.startswith(b"\x89PNG")
        picture = matplotlib.image.imread(io.BytesIO(data))
        assert min(picture.shape[:2]) > 200
        assert np.ptp(picture[..., :3]) > 0.5
