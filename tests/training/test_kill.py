"""kill -9, then --resume: as if nothing had happened, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from tests.support import killed_worker
from training.checkpoint import load_state

ROOT = Path(__file__).parents[2]


def log(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what a clock measured."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in clocks} for row in rows]


def test_kill_9_and_resume_equal_an_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    # A step has 3 micro-batches of 4 rows, an epoch 40 rows. Killed twice: at micro-batch 20, the
    # second of step 7 and the last of an epoch; then, resumed after step 6, at the 12th, which is
    # micro-batch 30: the last of step 10, and of an epoch again. Step 9 was saved before.
    straight = killed_worker.run(tmp_path / "straight")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for fatal in (20, 12):
        command = [sys.executable, str(ROOT / "tests" / "support" / "killed_worker.py")]
        done = subprocess.run(
            [*command, str(tmp_path / "killed"), str(fatal)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    resumed = killed_worker.run(tmp_path / "killed")

    assert log(tmp_path / "killed") == log(tmp_path / "straight")
    rows = (tmp_path / "straight" / "rows.txt").read_text().splitlines()
    again = (tmp_path / "killed" / "rows.txt").read_text().splitlines()
    assert again == rows[:20] + rows[18:30] + rows[27:]
    for name, value in straight.transformer.state_dict().items():
        assert torch.equal(value, resumed.transformer.state_dict()[name]), name
    kept, state = load_state(tmp_path / "straight" / "checkpoint")
    kept_again, state_again = load_state(tmp_path / "killed" / "checkpoint")
    assert kept.keys() == kept_again.keys()
    assert any("momentum_buffer" in name for name in kept)
    assert any("exp_avg_sq" in name for name in kept)
    assert all(torch.equal(kept[name], kept_again[name]) for name in kept)
    assert state["source"] == state_again["source"]
