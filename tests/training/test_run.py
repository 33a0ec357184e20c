"""The run folder, its progress lines and its closing figures."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from assistant.bundle import file_sha256
from training.progress import Progress, duration
from training.run import Run, checkpoint_directory


@dataclass(frozen=True)
class Settings:
    steps: int = 3
    data: Path = Path("x")


def test_a_run_says_what_was_asked_and_where_it_ran(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", "pretrain", Settings(), ["training", "pretrain"])
    config = json.loads((run.directory / "config.json").read_text())
    assert config == {
        "stage": "pretrain",
        "config": {"steps": 3, "data": "x"},
        "argv": ["training", "pretrain"],
    }
    environment = json.loads((run.directory / "environment.json").read_text())
    assert {"python", "processor", "packages", "commit"} <= environment.keys()


def test_a_folder_in_use_is_not_overwritten_and_only_its_own_stage_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.create(tmp_path / "r", "pretrain", Settings())
    with pytest.raises(ValueError, match=r"holds a run already.*--resume"):
        Run.create(tmp_path / "r", "pretrain", Settings())
    with pytest.raises(ValueError, match="holds a run of pretrain, not chat"):
        Run.create(tmp_path / "r", "chat", Settings(), resume=True)
    Run.create(tmp_path / "r", "pretrain", Settings(steps=4), resume=True)
    assert "resuming with steps = 4 (was 3)" in capsys.readouterr().err


def test_metrics_are_appended_and_rewound(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", "s", Settings())
    for step in range(1, 6):
        run.log({"step": step, "loss": 1.0 / step})
    with (run.directory / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')  # a crash while writing
    run.rewind(3)
    assert [row["step"] for row in run.metrics()] == [1, 2, 3]
    run.log({"step": 4, "loss": 0.25})
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4]


def test_the_summary_is_printed_as_key_value_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.create(tmp_path / "r", "s", Settings())
    run.summary({"loss": 1.25, "name": "a", "steps": 3})
    assert capsys.readouterr().out == "loss: 1.25\nname: a\nsteps: 3\n"
    assert json.loads((run.directory / "summary.json").read_text())["steps"] == 3


def test_a_runs_folder_stands_for_its_checkpoint(tmp_path: Path) -> None:
    assert checkpoint_directory(tmp_path) == tmp_path
    (tmp_path / "checkpoint").mkdir()
    assert checkpoint_directory(tmp_path) == tmp_path / "checkpoint"


def test_files_are_hashed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.2, "4 s"), (187, "3:07"), (3723, "1:02:03"), (0, "0 s")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_without_a_terminal_progress_is_plain_lines_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([0.0, 0.0, *(10.0 * n for n in range(1, 100))])
    monkeypatch.setattr("training.progress.time.monotonic", lambda: next(now))
    stream = io.StringIO()
    with Progress("work", stream, interval=5) as progress:
        progress.update(0.5, "half")  # looked at twice: the start does not count
        progress.update(0.75, "more")
        progress.say("a line")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "work  50%  half"
    assert lines[1].startswith("work  75%  more  ")
    assert lines[1].endswith(" left")
    assert lines[2] == "a line"
    assert "\x1b" not in stream.getvalue()


def test_time_left_counts_from_where_a_resumed_run_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("training.progress.time.monotonic", lambda: clock[0])
    with Progress("work", io.StringIO()) as progress:
        progress.update(0.5)
        clock[0] = 30.0
        progress.update(0.6)
        assert progress.remaining() == pytest.approx(120.0)
