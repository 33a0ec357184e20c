"""The recipe of docs/scaling.md writes what one machine writes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.training.dask_prepare import dask_prepare
from tests.support.tiny import tiny_tokenizer
from training.data import parts as parts_module
from training.data.prepare import PrepareConfig, prepare
from training.data.shards import verify
from training.run import Run
from training.tokenizer.train import save_tokenizer

CONFIG = PrepareConfig(validation_fraction=0.2)


class _Client:
    """What the recipe uses of a ``distributed.Client``, on threads."""

    def __init__(self) -> None:
        self.pool, self.handed_out = ThreadPoolExecutor(2), 0

    def map(self, function: Any, items: list[Any], **options: Any) -> list[Any]:
        self.handed_out += len(items)
        return [self.pool.submit(function, item) for item in items]

    def gather(self, futures: list[Any]) -> list[Any]:
        return [future.result() for future in futures]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, dict[str, str]]:
    rows = [json.dumps({"text": f"document {n} says {n * n} " * 5}) for n in range(300)]
    (tmp_path / "a.jsonl").write_text("\n".join([*rows, *rows[:30]]))
    save_tokenizer(tmp_path / "tokenizer", tiny_tokenizer())
    monkeypatch.setattr(parts_module, "PART_BYTES", 6000)
    run = Run.create(tmp_path / "alone", "prepare", CONFIG, [])
    prepare([tmp_path / "a.jsonl"], tiny_tokenizer(), CONFIG, run)
    return tmp_path / "a.jsonl", tmp_path / "tokenizer", verify(run.directory)


def test_workers_make_the_parts_and_the_shards_are_the_same(
    places: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    text, tokenizer, expected = places
    client = _Client()
    dask_prepare([text], tokenizer, CONFIG, tmp_path / "data", client)
    assert client.handed_out > 3
    assert verify(tmp_path / "data") == expected


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_local_dask_cluster_gives_the_same_shards(
    places: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    text, tokenizer, expected = places
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        dask_prepare([text], tokenizer, CONFIG, tmp_path / "data", client)
    assert verify(tmp_path / "data") == expected
