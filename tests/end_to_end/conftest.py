"""End to end: the programs as people start them, with the bundles that ship."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def shipped_models(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use the repository's own models/."""
    monkeypatch.delenv("FRONTDESK_MODELS")
    return REPOSITORY / "models"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run ``python -m assistant ARGUMENTS`` in an empty folder; input by ``stdin=``."""

    def run(*arguments: str, stdin: str = "", **environment: str):
        return subprocess.run(
            [sys.executable, "-m", "assistant", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | environment,
            timeout=120,
        )

    return run
