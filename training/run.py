"""The run folder: what was asked, on what machine, with what data, and what came out.

```
runs/NAME/              written by the first process alone when several train
  config.json       stage, settings, command line
  environment.json  python, torch, device, processor, commit
  data.json         sha256 of the data files
  metrics.jsonl     one object a logged step
  summary.json      the closing figures
  report.html, .md  the same for people, with the loss curve, samples, settings and machine
  checkpoint/       see training/checkpoint.py
```
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from training.config import to_json
from training.progress import Progress
from training.world import primary

CONFIG, ENVIRONMENT, DATA = "config.json", "environment.json", "data.json"
METRICS, SUMMARY, CHECKPOINT = "metrics.jsonl", "summary.json", "checkpoint"


class Paused(Exception):
    """A run stopped before its end, with everything saved; ``--resume`` goes on with it."""

    def __init__(self, directory: Path, step: int, interrupted: bool) -> None:
        super().__init__(f"{directory}: stopped after step {step}; go on with --resume")
        self.directory, self.step, self.interrupted = directory, step, interrupted


@dataclass
class Run:
    """A run folder and what is written to it."""

    directory: Path
    stage: str

    @classmethod
    def create(
        cls,
        directory: Path,
        stage: str,
        config: Any,
        argv: Sequence[str] | None = None,
        resume: bool = False,
    ) -> Run:
        """Create the folder, or open it again to resume.

        Args:
            config: the stage's config dataclass.
            argv: the command line, by default this process's.

        Raises:
            ValueError: the folder holds a run already and ``resume`` is not set, or it holds
                one of another stage.
        """
        directory = Path(directory)
        if not primary():
            return cls(directory, stage)
        path = directory / CONFIG
        settings = to_json(config)
        if path.exists():
            if not resume:
                raise ValueError(
                    f"{directory} holds a run already: go on with --resume, "
                    "or choose another folder with --output"
                )
            before = json.loads(path.read_text(encoding="utf-8"))
            if before.get("stage") != stage:
                raise ValueError(f"{directory} holds a run of {before.get('stage')}, not {stage}")
            for key, (old, new) in _changes(before.get("config", {}), settings).items():
                print(f"warning: resuming with {key} = {new} (was {old})", file=sys.stderr)
        directory.mkdir(parents=True, exist_ok=True)
        command = list(sys.argv if argv is None else argv)
        _write(path, {"stage": stage, "config": settings, "argv": command})
        _write(directory / ENVIRONMENT, environment())
        return cls(directory, stage)

    @property
    def checkpoint(self) -> Path:
        """The folder of the run's checkpoint."""
        return self.directory / CHECKPOINT

    @property
    def resumable(self) -> bool:
        """Whether a checkpoint has been saved here."""
        place = self.checkpoint
        return place.exists() or place.with_name(f".{place.name}.old").exists()

    def data(self, hashes: Mapping[str, str]) -> None:
        """Record the sha256 of each data file, by name."""
        if not primary():
            return
        _write(self.directory / DATA, dict(hashes))

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        if not primary():
            return
        with (self.directory / METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(metrics)) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the logged lines; a line cut short by a crash is left out."""
        path = self.directory / METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def rewind(self, step: int) -> None:
        """Forget the logged lines after ``step``: a resumed run writes them again."""
        if not primary():
            return
        rows = [row for row in self.metrics() if row.get("step", 0) <= step]
        path = self.directory / METRICS
        building = path.with_suffix(".tmp")
        building.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        building.replace(path)

    def progress(self, label: str | None = None) -> Progress:
        """Return a progress display for this run; use it in a ``with``."""
        return Progress(label or self.stage, silent=not primary())

    def summary(self, values: Mapping[str, Any], report: bool = True) -> None:
        """Write summary.json, draw the loss on stderr, and print ``key: value`` lines to stdout.

        Args:
            report: write report.md and report.html of these values too; a stage that has more
                to tell writes its own.
        """
        if not primary():
            return
        _write(self.directory / SUMMARY, dict(values))
        self._draw()
        if report:
            from training.evaluation.report import write_report

            title = f"{self.stage}: {self.directory.name}"
            write_report(self.directory, {"title": title, **values})
        for key, value in values.items():
            print(f"{key}: {value:.6g}" if isinstance(value, float) else f"{key}: {value}")

    def _draw(self) -> None:
        from training.plots import curves, terminal_plot

        if (sys.stderr.encoding or "").lower().replace("-", "") != "utf8":
            return
        for title, curve in list(curves(self.metrics()).items())[:1]:
            print(f"\n{terminal_plot(curve, title)}\n", file=sys.stderr)


def checkpoint_directory(place: Path) -> Path:
    """Return the checkpoint meant by a path: a checkpoint's folder, or its run's."""
    inside = Path(place) / CHECKPOINT
    return inside if inside.exists() else Path(place)


def environment() -> dict[str, Any]:
    """Return what a figure depends on besides code and data."""
    packages = {}
    for name in ("torch", "tokenizers", "safetensors", "numpy", "onnx", "onnxruntime"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    torch = sys.modules.get("torch")  # stages that do not compute do not load it
    accelerator = None
    if torch is not None and torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": None if torch is None else torch.get_num_threads(),
        "accelerator": accelerator,
        "packages": packages,
        "commit": commit(),
    }


def commit() -> str | None:
    """Return the checkout's commit, with ``+changes`` when files differ; None outside git."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+changes" if changed else head


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _changes(before: Any, after: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in before.keys() | after.keys():
            found |= _changes(before.get(key), after.get(key), f"{prefix}{key}.")
        return found
    return {} if before == after else {prefix.rstrip("."): (before, after)}


def _write(path: Path, data: Any) -> None:
    building = path.with_suffix(".tmp")
    building.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    building.replace(path)
