"""The command line: quick help, one-line errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from training.__main__ import COMMANDS, main


def training(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_lists_the_stages_without_importing_torch() -> None:
    done = python(
        "import sys; from training.__main__ import main; sys.argv = ['training', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'tokenizers', 'onnx', 'rich'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert done.returncode == 0, done.stderr
    for name in ("tokenizer", "prepare", "pretrain", "sample"):
        assert f"\n  {name} " in done.stdout


def test_data_preparation_does_not_import_torch() -> None:
    done = python(
        "import sys, training.data.command, training.tokenizer.command\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_without_torch_one_line_says_what_to_install() -> None:
    done = python(
        "import sys; sys.modules['torch'] = None\n"
        "from training.__main__ import main; sys.argv = ['training', 'pretrain', '--help']\n"
        "main()"
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install -e '.[train]'" in done.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_stage_that_is_there_has_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert training(monkeypatch, name, "--help") == 0
    assert f"training {name}" in capsys.readouterr().out


def test_a_wrong_setting_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert training(monkeypatch, "pretrain", "--preset", "tiny", "--set", "loop.stpes=1") == 1
    assert capsys.readouterr().err == (
        "error: There is no setting 'loop.stpes'; did you mean 'loop.steps'?\n"
    )


def test_bad_input_is_exit_code_3_and_wrong_usage_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pdf").write_text("x")
    arguments = ("tokenizer", tmp_path / "a.pdf", "--output", tmp_path / "t")
    assert training(monkeypatch, *arguments) == 3
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/a.pdf: unknown kind of file")
    assert training(monkeypatch, "prepare", tmp_path / "missing") == 2
    assert training(monkeypatch, "nothing") == 2
