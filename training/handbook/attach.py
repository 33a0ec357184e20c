"""Put a handbook into a bundle; the weights stay as they are."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.bundle import Bundle, file_sha256, load_bundle
from assistant.handbook.search import Handbook
from training.checkpoint import replace_directory
from training.exporting.export import write_bundle_file
from training.handbook.build import read_facts

CARD = "README.md"
_SECTION = re.compile(r"\n## Handbook\n.*?(?=\n## |\Z)", re.DOTALL)


def attach_handbook(folder: Path, directory: Path) -> Bundle:
    """Put the handbook of ``folder`` into the chat bundle at ``directory``, replacing its old one.

    The new bundle is put together beside the old one and renamed; weights are linked, not
    copied.

    Raises:
        ValueError: no handbook, or no chat bundle.
        ModelError: either is damaged.
    """
    facts = read_facts(folder)
    Handbook.load(folder, facts)  # a damaged one never gets into a bundle
    bundle = load_bundle(directory)
    if bundle.task != "chat":
        raise ValueError(f"{directory} is for {bundle.task}; a handbook goes with a chat bundle")
    old, new = _names(bundle.handbook), _names(facts)
    if clash := (new & bundle.files.keys()) - old:
        raise ValueError(f"{directory} has a file named {sorted(clash)[0]} of its own")
    building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        for name in bundle.files.keys() - old:
            _link(directory / name, building / name)
        for name in new:
            shutil.copyfile(folder / name, building / name)
        files = {name: digest for name, digest in bundle.files.items() if name not in old}
        if CARD in files:
            card = _card((directory / CARD).read_text(encoding="utf-8"), facts)
            (building / CARD).unlink()  # a link: writing through it would change the old bundle
            (building / CARD).write_text(card, encoding="utf-8")
            files[CARD] = file_sha256(building / CARD)
        files |= {name: file_sha256(building / name) for name in new}
        changed = replace(bundle, handbook=facts, files=dict(sorted(files.items())))
        write_bundle_file(replace(changed, directory=building))
        replace_directory(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return load_bundle(directory)


def _names(facts: dict[str, Any]) -> set[str]:
    return {str(name) for name in (*facts.get("files", {}).values(), *facts.get("data", ()))}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _card(card: str, facts: dict[str, Any]) -> str:
    """Return the model card with its section on the handbook."""
    encoder = facts.get("provenance", {}).get("encoder", {})
    origin = encoder.get("foundation", "")
    origin = origin.get("foundation", "") if isinstance(origin, dict) else origin
    section = (
        "\n## Handbook\n\n"
        f"{facts['entry_count']} written answers go along with the model "
        f"(`handbook.jsonl`). The {facts['entries']} closest to a question are put before it, "
        f"unless they are farther than a cosine of {facts['threshold']}. They come from the "
        "training split alone; nothing that validates or tests the model is among them. "
        f"The encoder that finds them, {origin or 'a sentence encoder'}, runs on the same "
        "machine.\n"
    )
    return _SECTION.sub("", card).rstrip("\n") + "\n" + section
