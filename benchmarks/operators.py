"""Where the time of a step goes, by operator and shape.

    python -m benchmarks.operators BUNDLE [--context 50] [--new 1] [--steps 40] [--threads 1]

onnxruntime's own profile of steps that append ``--new`` tokens at a context; a fast step of each
operator counts (the 20% quantile), so that other load disturbs little. Profiling itself costs
some microseconds an operator.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from assistant.bundle import load_bundle
from assistant.engine.generator import TextGenerator


def profiled(path: Path, threads: int, folder: Path) -> TextGenerator:
    """Load a bundle with profiling on."""

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.enable_profiling = True
            self.profile_file_prefix = str(folder / "profile")

    plain, onnxruntime.SessionOptions = onnxruntime.SessionOptions, Options
    try:
        return TextGenerator(load_bundle(path), threads)
    finally:
        onnxruntime.SessionOptions = plain


def shape(entry: dict[str, Any]) -> str:
    """Operator, first inputs and output."""
    inputs = [next(iter(s.values())) for s in entry.get("input_type_shape", [])]
    outputs = [next(iter(s.values())) for s in entry.get("output_type_shape", [])]
    return f"{entry['op_name']:30} {inputs[:2]} -> {outputs[:1]}"


def main() -> None:
    """Print a row for each operator and shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--context", type=int, default=50)
    parser.add_argument("--new", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    before = list(range(100, 100 + arguments.context))
    with tempfile.TemporaryDirectory() as scratch:
        generator = profiled(arguments.bundle, arguments.threads, Path(scratch))
        generator.forward(before)
        for _ in range(arguments.steps):
            generator.rewind(before)
            generator.forward(list(range(300, 300 + arguments.new)))
        file = generator._session.end_profiling()
        events = json.loads(Path(file).read_text(encoding="utf-8"))
        os.unlink(file)
    kernels = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("kernel_time")]
    count = len(kernels) // (arguments.steps + 1)  # the first reads the context
    times: dict[str, list[float]] = defaultdict(list)
    for event in kernels[-count * arguments.steps :]:
        times[shape(event["args"])].append(event["dur"])
    costs = {
        name: float(np.quantile(found, 0.2)) * len(found) / arguments.steps
        for name, found in times.items()
    }
    print(f"{count} operators, {sum(costs.values()):.0f} microseconds a step")
    for name, cost in sorted(costs.items(), key=lambda item: -item[1]):
        number = len(times[name]) // arguments.steps
        print(f"{cost:9.0f} us {number:4} x {cost / max(1, number):7.1f}  {name}")


if __name__ == "__main__":
    main()
