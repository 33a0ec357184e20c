"""One way down: the import contracts of pyproject.toml hold."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_the_import_contracts_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(Path(__file__).parents[2])
    code = lint_imports(no_cache=True)
    assert code == 0, capsys.readouterr().out
