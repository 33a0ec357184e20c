"""Data preparation on a Dask cluster: the workers make the parts, this process finishes.

python -m benchmarks.training.dask_prepare TEXTS... --tokenizer FOLDER --output FOLDER
    [--scheduler tcp://HOST:8786] [--set key=value ...]

Without a scheduler a local cluster is started. Input, tokenizer and output must be on a file
system that every worker sees. Needs the package distributed; see docs/scaling.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.config import load_config
from training.data.parts import finished, make
from training.data.prepare import PARTS, PrepareConfig, prepare, works_of
from training.data.sources import find_files
from training.run import Run
from training.tokenizer.train import load_tokenizer, save_tokenizer


def dask_prepare(
    inputs: Sequence[Path], tokenizer: Path, config: PrepareConfig, output: Path, client: Any
) -> dict[str, Any]:
    """Prepare data with the workers of a ``distributed.Client``; returns the manifest."""
    loaded = load_tokenizer(tokenizer)
    run = Run.create(output, "prepare", config, resume=(output / PARTS).exists())
    save_tokenizer(run.directory, loaded)
    works = works_of(find_files(inputs), loaded, config, run.directory.resolve())
    missing = [work for work in works if finished(work) is None]
    # pure=False: a part is a file, so a result that Dask remembers would not bring it back
    client.gather(client.map(make, missing, pure=False, retries=2))
    return prepare(inputs, loaded, config, run)


def main() -> None:
    """Start a cluster, or join one, and prepare."""
    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser()
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scheduler", help="default: a local cluster")
    parser.add_argument("--workers", type=int, default=2, help="of the local cluster")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    config = load_config(PrepareConfig, overrides=options.overrides)
    inputs = [path.resolve() for path in options.texts]
    if options.scheduler:
        with Client(options.scheduler) as client:
            dask_prepare(inputs, options.tokenizer, config, options.output, client)
        return
    cluster = LocalCluster(n_workers=options.workers, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        dask_prepare(inputs, options.tokenizer, config, options.output, client)


if __name__ == "__main__":
    main()
