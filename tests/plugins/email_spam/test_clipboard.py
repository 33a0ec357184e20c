"""/spam without a file reads the clipboard by the desktop's own program."""

from __future__ import annotations

from pathlib import Path

import pytest

import plugins.email_spam as plugin
from assistant.plugin_api import BadInputError, Report
from plugins.email_spam.clipboard import read_clipboard


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desktop whose xclip is the script written here."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path / "xclip"


def write(script: Path, text: str) -> None:
    script.write_text("#!/bin/sh\n" + text)
    script.chmod(0o755)


def test_a_mail_on_the_clipboard_is_checked(desktop: Path, classifier: object) -> None:
    write(desktop, "printf 'From: A <a@b.example>\\nSubject: s\\n\\nPay the lottery fee prize\\n'")
    report = plugin.register_slash_commands()[0].run("")
    assert isinstance(report, Report)
    assert report.verdict == "spam"


@pytest.mark.parametrize("script", ["exit 1", "printf ''", "printf '  '"])
def test_an_empty_clipboard_is_said(desktop: Path, script: str) -> None:
    write(desktop, script)
    with pytest.raises(BadInputError, match="no text on the clipboard"):
        read_clipboard()


def test_without_a_program_the_hint_names_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(BadInputError, match="cannot be read") as caught:
        read_clipboard()
    assert "/spam FILE" in caught.value.hint
