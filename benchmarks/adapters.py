"""What adapters beside 4-bit weights cost: disk, load time, memory and speed.

    python -m benchmarks.adapters CHECKPOINT [--ranks 0 16 32] [--output FOLDER]

Exports CHECKPOINT (without adapters) at each rank with drawn adapters whose product is 3% of
each matrix in the Frobenius norm, as fine-tuning leaves them; rank 0 is the model itself. Checks
that the base's data files are the same byte for byte, then decodes with all of them in turns.
"""

from __future__ import annotations

import argparse
import copy
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from assistant.bundle import Bundle, file_sha256, load_bundle
from assistant.engine.generator import TextGenerator
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.exporting.export import export_bundle
from training.exporting.graph import ADAPTER_FILE
from training.finetuning.lora import LoraConfig, LoraLinear, add_lora

STRENGTH = 0.03  # Frobenius norm of an adapter's product over that of its matrix
CONTEXT, TOKENS, ROUNDS = 50, 32, 15


@torch.no_grad()
def with_adapters(checkpoint: Checkpoint, rank: int) -> Checkpoint:
    """Return a copy with drawn adapters of ``STRENGTH``."""
    adapted = copy.deepcopy(checkpoint)
    add_lora(adapted.transformer, LoraConfig(rank=rank, alpha=2.0 * rank), seed=rank)
    generator = torch.Generator().manual_seed(rank)
    for module in adapted.transformer.modules():
        if isinstance(module, LoraLinear):
            module.lora_b.copy_(torch.randn(module.lora_b.shape, generator=generator))
            product = module.scale * (module.lora_b @ module.lora_a)
            module.lora_b.mul_(STRENGTH * module.base.weight.norm() / product.norm())
    return adapted


def load_figures(bundle: Bundle) -> tuple[float, float]:
    """Return milliseconds to load a bundle (hashes verified) and peak MB, in a fresh process."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from assistant.bundle import load_bundle\n"
        "from assistant.engine.generator import TextGenerator\n"
        "import numpy, onnxruntime\n"
        "start = time.perf_counter(); model = TextGenerator(load_bundle(Path(sys.argv[1])))\n"
        "print(1000 * (time.perf_counter() - start)); model.forward([5, 6, 7])\n"
        # not getrusage: its peak begins with that of the process that forked this one
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(int(line.split()[1]) / 1000 for line in lines if line.startswith('VmHWM')))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(bundle.directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    milliseconds, megabytes = out.stdout.split()
    return float(milliseconds), float(megabytes)


def step_times(generators: dict[int, TextGenerator]) -> dict[int, float]:
    """Return seconds of CPU a token: the fastest tenth of the steps, in turns of ``TOKENS``.

    With one thread, CPU time and the fast steps are what other load disturbs least.
    """
    times: dict[int, list[float]] = {rank: [] for rank in generators}
    for _ in range(ROUNDS):
        for rank, generator in generators.items():
            generator.rewind([])
            generator.forward(list(range(100, 100 + CONTEXT)))
            for token in range(TOKENS):
                start = time.thread_time()
                generator.forward([200 + token])
                times[rank].append(time.thread_time() - start)
    return {rank: statistics.quantiles(found, n=10)[0] for rank, found in times.items()}


def main() -> None:
    """Print one row a rank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 16, 32])
    parser.add_argument("--output", type=Path, help="keep the bundles and checkpoints here")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    bundles: dict[int, Bundle] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.output or Path(scratch)
        for rank in arguments.ranks:
            model = with_adapters(checkpoint, rank) if rank else checkpoint
            place = folder / f"rank-{rank}"
            bundles[rank] = export_bundle(model, place, f"rank-{rank}", quantization="int4")
            if arguments.output and rank:
                save_checkpoint(folder / f"checkpoint-{rank}", model)
        del model, checkpoint
        gc.collect()
        data = {
            rank: {
                path.name: file_sha256(path)
                for path in bundle.directory.glob("*.data")
                if ADAPTER_FILE not in path.name
            }
            for rank, bundle in bundles.items()
        }
        sizes = {rank: bundle.size_bytes for rank, bundle in bundles.items()}
        base = data[arguments.ranks[0]]
        for rank in arguments.ranks[1:]:
            same = all(data[rank].get(name) == digest for name, digest in base.items())
            print(f"rank {rank}: base data files {'the same' if same else 'DIFFERENT'}")
        loads = {rank: [load_figures(bundle) for _ in range(3)] for rank, bundle in bundles.items()}
        seconds = step_times(
            {
                rank: TextGenerator(load_bundle(b.directory), threads=1)
                for rank, b in bundles.items()
            }
        )
    print("rank   MB     load ms  peak MB  tokens/s  ratio")
    for rank, second in seconds.items():
        milliseconds, megabytes = (statistics.median(x) for x in zip(*loads[rank], strict=True))
        print(
            f"{rank:4}  {sizes[rank] / 1e6:6.1f}  {milliseconds:7.0f}  {megabytes:7.0f}  "
            f"{1 / second:8.1f}  {seconds[arguments.ranks[0]] / second:.3f}"
        )


if __name__ == "__main__":
    main()
