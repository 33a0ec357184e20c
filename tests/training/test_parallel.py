"""Two processes train what one would: the same losses, gradients and weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.parallel_worker import ADAPTERS, PLAN, run_case
from tests.support.tiny import tiny_tokenizer, tiny_transformer
from tests.support.tiny_task import LENGTH, MaskedBatch, RaggedSource
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import load_config
from training.data.prepare import PrepareConfig, prepare
from training.finetuning.chat import ChatConfig, finetune_chat
from training.finetuning.encoder import PairBatch
from training.parallel import ShareOfBatches, rows_of
from training.run import Run

ROOT = Path(__file__).parents[2]


def torchrun(*arguments: object) -> None:
    """Start two processes on this machine's CPU; a failure shows what they said."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", "0", "--rdzv-backend", "c10d"]
    command += ["--rdzv-endpoint", "127.0.0.1:0", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tiny_foundation() -> Checkpoint:
    return Checkpoint("pretrained", tiny_transformer(), tiny_tokenizer())


def losses(directory: Path) -> list[tuple[float, float, int]]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(r["loss"], r["gradient_norm"], r["tokens"]) for r in rows if "loss" in r]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folders of two processes, all made in one start of torchrun."""
    folder = tmp_path_factory.mktemp("parallel")
    rows = [json.dumps({"text": f"the word {n % 7} and the other {n}"}) for n in range(400)]
    (folder / "a.jsonl").write_text("\n".join(rows))
    save_checkpoint(folder / "foundation", tiny_foundation())
    answer = {"role": "assistant", "content": "the other word"}
    talks = [[{"role": "user", "content": f"the word {n}"}, answer] for n in range(40)]
    (folder / "chat.jsonl").write_text("\n".join(json.dumps({"messages": t}) for t in talks))
    config = PrepareConfig(validation_fraction=0.1)
    run = Run.create(folder / "data", "prepare", config)
    prepare([folder / "a.jsonl"], tiny_tokenizer(), config, run)
    torchrun(ROOT / "tests" / "support" / "parallel_worker.py", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon+adamw"])
def test_two_processes_train_what_one_trains(kind: str, runs: Path, tmp_path: Path) -> None:
    run_case(tmp_path, "one", kind)
    for name in PLAN[kind]:
        compare(tmp_path / kind / "one", runs / kind / name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon+adamw"])
def test_sharded_runs_that_stop_go_on_bit_for_bit(kind: str, runs: Path) -> None:
    paused, straight = runs / kind / "fsdp-paused", runs / kind / "fsdp"
    assert json.loads((paused / "attempts.json").read_text()) > 1
    assert losses(paused) == losses(straight)
    assert not list(runs.glob("*/*/checkpoint/sharded"))  # the final model is one file


def compare(one: Path, other: Path) -> None:
    pairs = list(zip(losses(one), losses(other), strict=True))
    assert len(pairs) == 4
    for step, (ours, theirs) in enumerate(pairs):
        assert theirs[0] == pytest.approx(ours[0], abs=1e-5 if step else 1e-6), other
        assert theirs[1] == pytest.approx(ours[1], rel=1e-2 if step else 1e-5), other
        assert theirs[2] == ours[2]
    gradients = load_file(one / "gradients.safetensors")
    found = load_file(other / "gradients.safetensors")
    assert gradients.keys() == found.keys()
    for key, gradient in gradients.items():
        assert gradient.abs().max() > 0
        assert float((found[key] - gradient).abs().max()) < 1e-6, (other, key)
    expected, weights = (
        load_checkpoint(place / "checkpoint").transformer.state_dict() for place in (one, other)
    )
    for key, value in expected.items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_torchrun_pretrains_by_the_command_line_and_resumes(kind: str, runs: Path) -> None:
    cut, straight = runs / kind / "cut", runs / kind / "straight"
    one, other = (json.loads((place / "summary.json").read_text()) for place in (cut, straight))
    assert other["tokens"] == one["tokens"] == 6 * 32 * 64
    assert one["bits_per_byte"] == other["bits_per_byte"]
    assert losses(cut)[-1] == losses(straight)[-1]
    a, b = (load_checkpoint(place / "checkpoint").transformer for place in (cut, straight))
    for mine, theirs in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_train_the_adapters_that_one_trains(
    kind: str, runs: Path, tmp_path: Path
) -> None:
    settings = [*ADAPTERS, f"foundation={runs / 'foundation'}"]
    settings.append(f'data.files=["{runs / "chat.jsonl"}"]')
    config = load_config(ChatConfig, "tiny", overrides=settings)
    alone = Run.create(tmp_path / "alone", "chat", config, argv=[])
    expected = finetune_chat(config, alone).transformer.state_dict()
    before = tiny_foundation().transformer.state_dict()
    for name in ("adapters", "adapters-cut"):
        place = runs / kind / name
        for ours, theirs in zip(losses(tmp_path / "alone"), losses(place), strict=True):
            assert theirs == pytest.approx(ours, rel=1e-4)
        found = load_checkpoint(place / "checkpoint").transformer.state_dict()
        assert found.keys() == expected.keys()  # merged into ordinary weights
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5)
            trained = "_proj" in key
            assert torch.equal(found[key], before[key]) != trained, key


def test_shares_cover_every_row_once_in_order() -> None:
    for accumulate, size in ((4, 2), (1, 2), (3, 2), (6, 3)):
        alone = RaggedSource(6)
        sources = [RaggedSource(6) for _ in range(size)]
        shares = [ShareOfBatches(s, accumulate, n, size) for n, s in enumerate(sources)]
        for _ in range(3):
            step = torch.cat([alone.next().ids for _ in range(accumulate)])
            found = [share.next()[0].ids for share in shares for _ in range(share.steps)]
            assert sorted(torch.cat(found).tolist()) == sorted(step.tolist())
        assert all(source.state() == alone.state() for source in sources)


def test_a_batch_with_fewer_rows_than_processes_counts_once() -> None:
    batch = MaskedBatch(torch.arange(2 * (LENGTH + 1)).view(2, -1), torch.ones(2, LENGTH))
    shares = [rows_of(batch, number, 3) for number in range(3)]
    counted = [share.ids.tolist() for share, weight in shares if weight]
    assert [row for rows in counted for row in rows] == batch.ids.tolist()
    assert all(len(share.ids) > 0 for share, _ in shares)


def test_pairs_are_not_torn_apart() -> None:
    batch = PairBatch(torch.zeros(4, 3, dtype=torch.long), torch.ones(4, dtype=torch.long), 2)
    with pytest.raises(ValueError, match="multiple of the 2 processes"):
        rows_of(batch, 0, 2)
