"""The curves of a run: in the terminal, and as PNG files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Curve = list[tuple[float, float]]
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Braille dots of a cell, rows of two (https://www.unicode.org/charts/PDF/U2800.pdf)."""
MARKED = {
    "validation_loss": "held-out loss",
    "bits_per_byte": "held-out bits per byte",
    "retention_bits_per_byte": "retention: bits per byte of general text",
}


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Return the curves in the lines of metrics.jsonl, by name; points are (step, value)."""
    found: dict[str, Curve] = {"training loss": []}
    for row in rows:
        if isinstance(row.get("loss"), int | float):
            found["training loss"].append((row["step"], row["loss"]))
        for name, title in MARKED.items():
            value = (row.get("evaluation") or {}).get(name)
            if isinstance(value, int | float):
                found.setdefault(title, []).append((row["step"], value))
    return {
        title: points
        for title, curve in found.items()
        if len(points := [p for p in curve if math.isfinite(p[1])]) > 1
    }


def terminal_plot(curve: Curve, title: str, width: int = 60, height: int = 10) -> str:
    """Draw one curve in braille dots, axes labelled with its extremes.

    Args:
        width, height: of the drawing area, in characters of two by four dots.
    """
    steps, values = [x for x, _ in curve], [y for _, y in curve]
    left, right = min(steps), max(steps)
    low, high = min(values), max(values)
    cells = [[0] * width for _ in range(height)]
    sums: dict[int, tuple[float, int]] = {}
    for x, y in curve:
        column = round((x - left) / max(right - left, 1e-9) * (2 * width - 1))
        total, count = sums.get(column, (0.0, 0))
        sums[column] = total + y, count + 1
    known = sorted(sums)
    means = np.interp(range(2 * width), known, [sums[c][0] / sums[c][1] for c in known])
    rows = [round((high - mean) / max(high - low, 1e-9) * (4 * height - 1)) for mean in means]
    for column, row in enumerate(rows):
        before = rows[max(column - 1, 0)]
        for dot in range(min(row, before), max(row, before) + 1):
            cells[dot // 4][column // 2] |= _DOTS[dot % 4][column % 2]
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    margin = max(map(len, labels))
    lines = [f"{'':>{margin}}  {title}"]
    for label, cell in zip(labels, cells, strict=True):
        lines.append(f"{label:>{margin}} │" + "".join(chr(0x2800 + dots) for dots in cell))
    ends = f"{left:g}".ljust(width - len(f"{right:g}")) + f"{right:g}"
    return "\n".join([*lines, f"{'':>{margin}} └" + "─" * width, f"{'':>{margin}}  {ends}"])


def loss_png(found: Mapping[str, Curve]) -> bytes:
    """Return a picture of the curves; several share the step's axis, one below the other."""
    figure = _figure(7.0, 2.6 * len(found))
    for number, (title, curve) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(len(found), 1, number)
        xs, ys = zip(*curve, strict=True)
        axes.plot(xs, ys, color="#1f5fa8", linewidth=1.4, marker="." if len(xs) < 30 else None)
        axes.set_title(title, fontsize=10, loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("step")
    return _png(figure)


def reliability_png(bins: Mapping[str, Mapping[str, float]]) -> bytes:
    """Return a reliability diagram: how often what was called probable came true.

    Args:
        bins: see ``training.evaluation.metrics.reliability``.
    """
    figure = _figure(4.6, 4.6)
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1], "hspace": 0.08}
    )
    said = [row["mean_probability"] for row in bins.values()]
    upper.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    upper.plot(said, [row["frequency"] for row in bins.values()], "o-", color="#1f5fa8")
    upper.set_ylabel("share that is positive")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    lower.bar(said, [row["n"] for row in bins.values()], width=0.06, color="#1f5fa8")
    lower.set_yscale("log")
    lower.set_ylabel("texts")
    lower.set_xlabel("probability given")
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no display, no global state
    return figure


def _png(figure: Any) -> bytes:
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=110)
    return held.getvalue()
