"""Put what `training evaluate` measured of a bundle into its model card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.bundle import Bundle, file_sha256, load_bundle
from assistant.text import sanitize_line
from training.exporting.export import write_bundle_file

CARD = "README.md"
EVALUATION, SAMPLES = "Evaluation", "Sample answers"
_SECTION = re.compile(rf"\n## (?:{EVALUATION}|{SAMPLES})\n.*?(?=\n## |\Z)", re.DOTALL)


def add_evaluation(directory: Path, reports: Sequence[Path], samples: int) -> Bundle:
    """Replace the card's sections on evaluation by what the reports hold.

    Args:
        reports: report.json files of `training evaluate`, each for this bundle.
        samples: answers of the reports to print, unedited, evenly over them.

    Raises:
        ValueError: a file is no report.
        ModelError: the bundle is damaged.
    """
    bundle = load_bundle(directory)
    read = [_read(path) for path in reports]
    card = _SECTION.sub("", (directory / CARD).read_text(encoding="utf-8")).rstrip("\n") + "\n"
    card += "".join(_evaluation(read)) + "".join(_samples(read, samples))
    (directory / CARD).write_text(card, encoding="utf-8")
    files = bundle.files | {CARD: file_sha256(directory / CARD)}
    write_bundle_file(replace(bundle, files=files))
    return load_bundle(directory)


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        figures = report["figures"]["all"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no report of `training evaluate` ({error!r})") from error
    if not isinstance(figures, Mapping):
        raise ValueError(f"{path} is no report of `training evaluate`: it has no figures")
    return dict(report)


def _evaluation(reports: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"\n## {EVALUATION}\n"]
    for report in reports:
        data = ", ".join(sorted(report.get("data", {})))
        lines.append(
            f"\nOf this bundle, by `training evaluate`, on {data}:\n\n| what | value |\n|---|---|\n"
        )
        for name, value in report["figures"]["all"].items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                lines.append(f"| {str(name).replace('_', ' ')} | {_number(value)} |\n")
        for group in ("dilution", "attacks"):
            for name, row in report.get(group, {}).items():
                shown = ", ".join(f"{k.replace('_', ' ')} {_number(v)}" for k, v in row.items())
                lines.append(f"| {group}: {name} | {shown} |\n")
    return lines


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _samples(reports: Sequence[dict[str, Any]], count: int) -> list[str]:
    examples = [example for report in reports for example in report.get("examples", [])]
    if not examples or not count:
        return []
    step = max(1, len(examples) // count)
    lines = [f"\n## {SAMPLES}\n", "\nGreedy, every so many of the evaluation's, unedited.\n"]
    for example in examples[::step][:count]:
        lines.append(f"\n**{sanitize_line(example['question'], 1200)}**\n\n")
        for line in str(example["answer"]).split("\n"):
            lines.append(f"> {sanitize_line(line, 1200)}\n" if line.strip() else ">\n")
    return lines
