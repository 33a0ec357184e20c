"""A bundle on a processor without AVX2: does it run, and does it say the same?

    python -m benchmarks.old_processor BUNDLE [--cpu Nehalem] [--tokens 12]

Runs the engine on this processor and on one that QEMU plays (`qemu-x86_64`, Debian's package
qemu-user), which knows SSE4.2 and nothing newer, and compares logits and a greedy answer. An
emulated step takes a hundred times as long, so take a small bundle, or time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

READ = 20


def run(path: Path, count: int, logits: Path) -> None:
    """Read some tokens, answer greedily, write the logits and print answer and processor."""
    from assistant.bundle import load_bundle
    from assistant.chat import GenerationOptions
    from assistant.engine.generator import TextGenerator

    bundle = load_bundle(path)
    generator = TextGenerator(bundle, threads=1)
    limit = bundle.architecture.vocabulary_size
    ids = [number % limit for number in range(40, 40 + READ)]
    np.save(logits, generator.forward(ids, list(range(READ))))
    options = GenerationOptions(max_tokens=count)
    answer = list(generator.generate(ids, options, frozenset(), Event()))
    features = np._core._multiarray_umath.__cpu_features__
    print(json.dumps({"answer": answer, "avx2": features["AVX2"]}))


def log_softmax(logits_RV: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return log probabilities."""
    shifted = logits_RV.astype(np.float64) - logits_RV.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def main() -> None:
    """Print whether the old processor runs the bundle, and how far apart the two are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cpu", default="Nehalem", help="a name that qemu-x86_64 -cpu knows")
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--inner", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        run(arguments.bundle, arguments.tokens, arguments.inner)
        return
    found = []
    # an emulated interpreter does not find its environment by its own path
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    python = os.path.realpath(sys.executable)
    with tempfile.TemporaryDirectory() as scratch:
        for prefix in ([], ["qemu-x86_64", "-cpu", arguments.cpu]):
            logits = Path(scratch) / "logits.npy"
            words = [arguments.bundle, "--tokens", str(arguments.tokens), "--inner", logits]
            done = subprocess.run(
                [*prefix, python, "-m", "benchmarks.old_processor", *words],
                env=os.environ | {"PYTHONPATH": paths},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                sys.exit(f"failed: {done.stderr.strip()[-500:]}")
            found.append((json.loads(done.stdout), log_softmax(np.load(logits))))
    (here, ours), (there, old) = found
    print(f"AVX2: here {here['avx2']}, there {there['avx2']}")
    print(f"KL divergence: {float((np.exp(ours) * (ours - old)).sum(-1).mean()):.2g}")
    same = sum(a == b for a, b in zip(here["answer"], there["answer"], strict=True))
    print(f"the same tokens: {same} of {len(here['answer'])}")


if __name__ == "__main__":
    main()
