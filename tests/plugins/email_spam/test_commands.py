"""``assistant spam``: output, exit codes, bad input, and the delivery filter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.plugin_api import ModelError
from plugins.email_spam.commands import spam
from tests.support.words import WordClassifier

pytestmark = pytest.mark.usefixtures("classifier")

LETTER = b"From: Ana <a@b.example>\nSubject: Tea\n\nShall we have tea on Friday?\n"
HOSTILE = (
    b"From: =?utf-8?q?=1B[31mRed?= <a@b.example>\nSubject: =?utf-8?q?=1B]0;owned=07_fee=C2=9Bx?=\n"
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSend the \x1b[2Jfee now. Please \x07do.\n"
    b'--b\nContent-Type: application/x; name="a\x1b[2J.exe"\n\nxx\n--b--\n'
)


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


def test_json_gives_one_object_a_message_with_the_agreed_keys(
    run: CliRunner, samples: Path
) -> None:
    paths = [str(samples / "phishing_html.eml"), str(samples / "personal.eml")]
    result = run.invoke(spam, ["check", "--json", *paths])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [row["source"] for row in rows] == paths
    assert [row["verdict"] for row in rows] == ["spam", "ham"]
    for row in rows:
        assert list(row) == (
            ["source", "subject", "verdict", "probability", "evidence", "model", "milliseconds"]
        )
        assert row["model"] == "email-spam"
    assert all(list(e) == ["text", "weight", "quote"] for e in rows[0]["evidence"])


def test_a_single_message_is_explained_for_people(run: CliRunner, samples: Path) -> None:
    output = run.invoke(spam, ["check", str(samples / "phishing_html.eml")]).stdout
    assert "This looks like spam (99% sure)" in output
    assert "The link to collect-fee[.]example speaks for spam" in output
    assert "What to do" in output
    assert "https://" not in output
    assert "\x1b" not in output  # no terminal, no colours


def test_many_messages_are_one_aligned_line_each(run: CliRunner, samples: Path) -> None:
    paths = [str(samples / "phishing_html.eml"), str(samples / "personal.eml")]
    lines = run.invoke(spam, ["check", *paths]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["spam", "ham"]
    assert lines[0].index(paths[0]) == lines[1].index(paths[1])


def test_quiet_gives_fields_between_tabs(run: CliRunner, samples: Path) -> None:
    path = str(samples / "personal.eml")
    assert run.invoke(spam, ["check", "--quiet", path]).stdout == f"ham\t0.0100\t{path}\n"


@pytest.mark.parametrize("options", [[], ["-"]])
def test_standard_input_is_read(run: CliRunner, options: list[str]) -> None:
    result = run.invoke(spam, ["check", "--quiet", *options], input=LETTER)
    assert result.stdout == "ham\t0.0500\tstandard input\n"


def test_a_threshold_can_be_set(run: CliRunner) -> None:
    arguments = ["check", "--quiet", "--threshold", "0.05", "-"]
    assert run.invoke(spam, arguments, input=LETTER).stdout.startswith("spam")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"fee lottery prize collect-fee", 10),
        (b"the lottery fee", 11),
        (b"grandma says thanks", 0),
    ],
)
def test_exit_codes_for_scripts(run: CliRunner, body: bytes, code: int) -> None:
    raw = b"From: a@b.example\nSubject: s\n\n" + body
    assert run.invoke(spam, ["check", "--exit-code", "-"], input=raw).exit_code == code
    assert run.invoke(spam, ["check", "-"], input=raw).exit_code == 0


def test_exit_codes_stay_out_of_batches(run: CliRunner, samples: Path) -> None:
    paths = [str(samples / "phishing_html.eml"), str(samples / "personal.eml")]
    assert run.invoke(spam, ["check", "--exit-code", *paths]).exit_code == 0


def test_a_bad_file_is_one_line_and_the_batch_goes_on(
    run: CliRunner, samples: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    paths = [str(picture), str(tmp_path / "missing.eml"), str(samples / "personal.eml")]
    result = run.invoke(spam, ["check", "--quiet", *paths])
    assert result.exit_code == 3
    assert result.stdout.startswith("ham\t")
    errors = result.stderr.splitlines()
    assert len(errors) == 2
    assert "picture.png is not an e-mail" in errors[0]
    assert "missing.eml cannot be read" in errors[1]


@pytest.mark.parametrize("options", [["--json"], ["--quiet"], []])
def test_control_characters_never_reach_the_terminal(run: CliRunner, options: list[str]) -> None:
    result = run.invoke(spam, ["check", *options, "-"], input=HOSTILE)
    assert result.exit_code == 0
    shown = json.loads(result.stdout)["subject"] if "--json" in options else ""
    for text in (result.stdout, result.stderr, shown):
        assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in text)


def test_json_and_quiet_exclude_each_other(run: CliRunner) -> None:
    assert run.invoke(spam, ["check", "--json", "--quiet", "-"], input=LETTER).exit_code == 2


def test_the_filter_adds_its_header(run: CliRunner) -> None:
    result = run.invoke(spam, ["filter"], input=LETTER)
    assert result.stdout_bytes == (b"X-Frontdesk-Spam: no, score=0.05, model=email-spam\n" + LETTER)


@pytest.mark.parametrize("raw", [b"", b"no mail at all", b"\x89PNG\r\n\x1a\n\xff\0"])
def test_the_filter_passes_on_what_is_no_mail(run: CliRunner, raw: bytes) -> None:
    result = run.invoke(spam, ["filter"], input=raw)
    assert (result.exit_code, result.stdout_bytes) == (0, raw)
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("error", [ModelError("No model"), RuntimeError("bug"), MemoryError()])
def test_the_filter_never_loses_mail(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(name: str) -> WordClassifier:
        raise error

    monkeypatch.setattr("plugins.email_spam.personal.load_classifier", fail)
    result = run.invoke(spam, ["filter"], input=LETTER)
    assert (result.exit_code, result.stdout_bytes) == (0, LETTER)
    assert len(result.stderr.splitlines()) == 1
