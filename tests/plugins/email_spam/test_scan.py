"""``spam scan``: streams, remembers, resumes, moves and moves back."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from assistant.plugin_api import BadInputError
from plugins.email_spam import moving
from plugins.email_spam.commands import spam
from plugins.email_spam.head import Head
from plugins.email_spam.mailbox import iter_raw
from plugins.email_spam.marks import activate
from plugins.email_spam.scan_output import Progress, clock
from plugins.email_spam.scanning import BATCH, day_of, messages
from plugins.email_spam.store import open_store
from plugins.email_spam.views import Views
from tests.support.words import EMBEDDED, WordClassifier

FROM = b"From a@b Mon Jun  2 08:00:00 2025\n"
SCAM, LETTER = "Pay the lottery fee for your prize now", "Grandma says thanks for the tea"


def raw(number: int, body: str, subject: str = "s") -> bytes:
    return (
        f"From: P{number} <p{number}@x{number % 2}.example>\nSubject: {subject} {number}\n"
        f"Date: Mon, {1 + number % 27} Jun 2025 08:00:00 +0000\n\n{body} number {number}\n"
    ).encode()


@pytest.fixture
def run(classifier: WordClassifier) -> Callable[..., Result]:
    def invoke(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(spam, [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    for number in range(10):
        body = SCAM if number % 3 == 0 else LETTER
        name = f"new/{number}.host" if number % 2 else f"cur/{number}.host:2,S"
        (box / name).write_bytes(raw(number, body))
    return box


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_people_get_what_needs_a_look_and_a_summary(run, maildir: Path) -> None:
    output = run("scan", maildir).stdout
    listed = [line for line in output.splitlines() if str(maildir) in line]
    assert len(listed) == 4
    assert all(line.startswith("spam") for line in listed)
    assert "ham           6  60.0%" in output
    assert "together     10" in output
    assert len(run("scan", maildir, "--all").stdout.splitlines()) > 10


def test_json_and_csv_are_complete_and_alone_on_stdout(run, maildir: Path) -> None:
    rows = [json.loads(line) for line in run("scan", maildir, "--json").stdout.splitlines()]
    assert len(rows) == 10
    assert list(rows[0]) == [
        "source", "subject", "from", "date", "verdict", "probability", "model", "known"
    ]  # fmt: skip
    assert {row["date"][:7] for row in rows} == {"2025-06"}
    table = list(csv.DictReader(io.StringIO(run("scan", maildir, "--csv").stdout)))
    assert [row["source"] for row in table] == [row["source"] for row in rows]
    assert [row["verdict"] for row in table] == [row["verdict"] for row in rows]
    result = run("scan", maildir, "--csv")
    assert "10 were known from a scan before" in result.stderr


@pytest.mark.parametrize("options", [[], ["--csv"], ["--json"], ["--all"]])
def test_nothing_hostile_reaches_the_terminal_or_a_spreadsheet(
    run, tmp_path: Path, options: list[str]
) -> None:
    box = tmp_path / "box"
    (box / "cur").mkdir(parents=True)
    subject = '=?utf-8?q?=3DHYPERLINK("http://x")=1B]0;owned=07=C2=9B=E2=80=AE?='
    (box / "cur" / "1\n\x1b[2J,=x").write_bytes(raw(1, SCAM, subject))
    output = run("scan", box, *options).stdout
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in output)
    assert "\u202e" not in output
    if options == ["--csv"]:
        (row,) = csv.DictReader(io.StringIO(output))
        assert row["subject"].startswith("'=")


def test_a_scan_that_was_killed_goes_on_where_it_was(
    run, classifier: WordClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = tmp_path / "big.mbox"
    box.write_bytes(b"".join(FROM + raw(n, LETTER) + b"\n" for n in range(300)))
    score = WordClassifier.score
    calls = 0

    def killed(self: WordClassifier, texts: list[str]) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return score(self, texts)

    monkeypatch.setattr(WordClassifier, "score", killed)
    with pytest.raises(click.Abort):
        CliRunner().invoke(spam, ["scan", str(box)], catch_exceptions=False, standalone_mode=False)
    assert len(classifier.texts) == 2 * BATCH
    monkeypatch.undo()
    monkeypatch.setattr("plugins.email_spam.personal.load_classifier", lambda name: classifier)
    monkeypatch.setenv("FRONTDESK_DATA", str(tmp_path / "data"))
    output = run("scan", box).stdout
    assert len(classifier.texts) == 300  # each was scored once
    assert f"{2 * BATCH} were known" in output
    assert "together    300" in output


def test_another_model_or_head_scores_anew(run, classifier: WordClassifier, maildir: Path) -> None:
    run("scan", maildir)
    classifier.revision = "words-2"
    assert "10 judged" in run("scan", maildir).stdout


def test_another_way_to_read_the_same_mail_scores_anew(
    run, classifier: WordClassifier, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("scan", maildir)
    assert "0 judged" in run("scan", maildir).stdout
    classifier.reading = "beginnings"
    assert "10 judged" in run("scan", maildir).stdout
    monkeypatch.setattr("plugins.email_spam.personal.FORM", -1)
    assert "10 judged" in run("scan", maildir).stdout


def test_a_new_head_scores_anew_and_the_one_before_is_remembered(
    run, classifier: WordClassifier, maildir: Path
) -> None:
    run("scan", maildir)
    tea = np.eye(len(EMBEDDED))[EMBEDDED.index("tea")]
    zeros, ones = np.zeros(len(EMBEDDED)), np.ones(len(EMBEDDED))
    figures = [(*vector.tolist(), *vector.tolist()) for vector in (zeros, ones, 20 * tea)]
    activate(Head(Views(classifier).revision, *figures, 1.0, 0.0, 1e-3, 20, 20))
    output = run("scan", maildir).stdout
    assert "10 judged" in output
    assert "100.0%" in output
    run("tune", "--undo")
    output = run("scan", maildir).stdout
    assert "0 judged" in output
    assert "40.0%" in output


def test_a_changed_list_or_threshold_counts_without_scoring_anew(
    run, classifier: WordClassifier, maildir: Path
) -> None:
    run("scan", maildir)
    run("allow", "x0.example")
    output = run("scan", maildir).stdout
    assert "spam          2" in output
    assert "spam          1" not in run("scan", maildir, "--threshold", "0.01").stdout
    assert len(classifier.texts) == 10


def test_moving_needs_a_rehearsal_and_can_be_undone(run, maildir: Path, tmp_path: Path) -> None:
    before = names(maildir)
    target = tmp_path / "junk"
    with pytest.raises(BadInputError, match="has not been looked at"):
        run("scan", maildir, "--move-spam", target)
    rehearsal = run("scan", maildir, "--move-spam", target, "--dry-run").stdout
    assert "4 would be moved" in rehearsal
    assert not target.exists()
    assert names(maildir) == before
    assert "4 moved" in run("scan", maildir, "--move-spam", target).stdout
    assert names(target / "cur") == {"0.host:2,S", "3.host:2,", "6.host:2,S", "9.host:2,"}
    assert names(maildir) | {"3.host", "9.host"} >= before - names(target / "cur")
    assert "4 would be moved back" in run("undo", "--dry-run").stderr
    assert "4 moved back" in run("undo").stderr
    assert names(maildir) == before
    assert names(target) == set()
    with pytest.raises(Exception, match="nothing to undo"):
        run("undo")


def test_a_scan_reads_quickly_unless_a_head_needs_all(
    run, classifier: WordClassifier, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("score", "score_quickly", "embed"):
        method = getattr(WordClassifier, name)

        def counted(self: WordClassifier, texts: list[str], name=name, method=method) -> object:
            calls.append(name)
            return method(self, texts)

        monkeypatch.setattr(WordClassifier, name, counted)
    run("scan", maildir)
    assert calls[0] == "score_quickly"
    calls.clear()
    run("check", next((maildir / "cur").iterdir()))
    assert "score_quickly" not in calls
    figures = [(1.0,) * 2 * len(EMBEDDED)] * 3
    activate(Head(Views(classifier).revision, *figures, 1.0, 0.0, 1e-3, 20, 20))
    calls.clear()
    run("scan", maildir)
    assert "embed" in calls
    assert "score_quickly" not in calls


def test_a_lower_threshold_than_the_rehearsal_showed_needs_another(
    run, maildir: Path, tmp_path: Path
) -> None:
    move = ("scan", maildir, "--move-spam", tmp_path / "junk")
    run(*move, "--dry-run", "--threshold", "0.9")
    with pytest.raises(BadInputError, match="has not been looked at"):
        run(*move, "--threshold", "0.5")
    with pytest.raises(BadInputError, match="has not been looked at"):
        run(*move)
    assert not (tmp_path / "junk").exists()
    run(*move, "--threshold", "0.95")


def test_a_move_never_overwrites(run, maildir: Path, tmp_path: Path) -> None:
    target = tmp_path / "junk"
    (target / "cur").mkdir(parents=True)
    (target / "cur" / "0.host:2,S").write_bytes(b"mine")
    run("scan", maildir, "--move-spam", target, "--yes")
    assert (target / "cur" / "0.host:2,S").read_bytes() == b"mine"
    assert (target / "cur" / "1-0.host:2,S").exists()
    (maildir / "cur" / "0.host:2,S").write_bytes(b"new")
    result = run("undo", code=1)
    assert "another file has its old name" in result.stderr
    assert (maildir / "cur" / "0.host:2,S").read_bytes() == b"new"
    assert "3 moved back" in result.stderr


def test_in_an_mh_folder_moved_mail_takes_the_next_free_number(run, tmp_path: Path) -> None:
    inbox, junk = tmp_path / "inbox", tmp_path / "junk"
    for folder in (inbox, junk):
        folder.mkdir()
    for number in (1, 2):
        (inbox / str(number)).write_bytes(raw(number, SCAM))
        (junk / str(number)).write_bytes(b"mine")
    run("scan", inbox, "--move-spam", junk, "--yes")
    assert names(junk) == {"1", "2", "3", "4"}
    assert "2 moved back" in run("undo").stderr
    assert names(inbox) == {"1", "2"}


def test_moves_work_across_file_systems(
    run, maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    before = {p.name: p.read_bytes() for p in maildir.rglob("*") if p.is_file()}
    run("scan", maildir, "--move-spam", tmp_path / "junk", "--yes")
    run("undo")
    assert {p.name: p.read_bytes() for p in maildir.rglob("*") if p.is_file()} == before


def test_a_move_that_was_planned_when_the_program_was_killed_is_no_loss(
    run, maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, moved = moving._move, []

    def killed(source: str, target: str) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(source)
        move(source, target)

    before = names(maildir)
    monkeypatch.setattr(moving, "_move", killed)
    arguments = ["scan", str(maildir), "--move-spam", str(tmp_path / "junk"), "--yes"]
    with pytest.raises(click.Abort):
        CliRunner().invoke(spam, arguments, catch_exceptions=False, standalone_mode=False)
    monkeypatch.setattr(moving, "_move", move)
    with open_store() as db:
        assert db.execute("SELECT count(*) FROM move WHERE state = 'planned'").fetchone()[0] == 1
    assert "2 moved back" in run("undo").stderr
    assert names(maildir) == before


def test_only_folders_can_be_moved_out_of(run, tmp_path: Path, maildir: Path) -> None:
    box = tmp_path / "x.mbox"
    box.write_bytes(FROM + raw(1, SCAM))
    for source, target in ((box, tmp_path / "junk"), (maildir, maildir), (maildir, box)):
        with pytest.raises(BadInputError):
            run("scan", source, "--move-spam", target, "--dry-run")
    run("scan", box, "--dry-run", code=2)
    run("scan", box, "--json", "--csv", code=2)


def test_what_is_no_mail_is_said_and_the_rest_goes_on(run, maildir: Path) -> None:
    (maildir / "cur" / "picture").write_bytes(b"\x89PNG\r\n\x1a\n")
    os.mkfifo(maildir / "cur" / "pipe")
    result = run("scan", maildir, code=3)
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 2
    assert "2 could not be read" in result.stdout
    assert "together     10" in result.stdout


def test_a_report_counts_names_senders_and_shows_time(run, maildir: Path) -> None:
    run("scan", maildir)
    output = run("report").stdout
    assert "spam         4  40.0%" in output
    assert "p0@x0[.]example" in output
    assert "2025-06-01" in output
    assert "█" in output
    data = json.loads(run("report", "--json", "--top", "2").stdout)
    assert (data["spam"], data["ham"], len(data["senders"])) == (4, 6, 2)
    assert sum(p["spam"] + p["ham"] + p["unsure"] for p in data["timeline"]) == 10
    assert str(maildir)[-20:] in run("report", "--scans").stdout
    assert json.loads(run("report", "--json", "--scan", "1").stdout)["spam"] == 4
    run("report", "--forget")
    with pytest.raises(Exception, match="nothing to report"):
        run("report")


def test_many_days_become_months_or_years(run, tmp_path: Path) -> None:
    box = tmp_path / "box"
    (box / "cur").mkdir(parents=True)
    for number in range(60):
        date = f"Date: 1 {('Jan', 'Jul')[number % 2]} {1990 + number // 2} 08:00:00 +0000".encode()
        text = raw(number, LETTER).replace(b"Date: Mon,", b"X-Date:")
        (box / "cur" / str(number)).write_bytes(date + b"\n" + text)
    run("scan", box)
    periods = json.loads(run("report", "--json").stdout)["timeline"]
    assert [period["name"] for period in periods] == [str(year) for year in range(1990, 2020)]


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("Mon, 03 Mar 2025 08:12:44 +0000", "2025-03-03"),
        ("3 Mar 25 08:12 GMT", "2025-03-03"),
        ("Mon, 03 Mar 1025 08:12:44 +0000", ""),
        ("Mon, 99 Mar 2025 99:12:44 +9999", ""),
        ("yesterday", ""),
        ("", ""),
        ("\x1b[2J" * 100, ""),
    ],
)
def test_only_dates_to_be_believed_are_kept(date: str, day: str) -> None:
    assert day_of(date) == day


def test_times_left_are_short() -> None:
    assert [clock(s) for s in (0.4, 61, 3599.7, 7322)] == ["0:00", "1:01", "1:00:00", "2:02:02"]


def test_progress_shows_the_share_and_the_time_left(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ticks = iter([0.0, 0.1, 10.0])
    clocks = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr("plugins.email_spam.scan_output.time", clocks)
    with Progress(str(maildir), quiet=False) as progress:
        stream = progress.counted(messages(iter_raw(str(maildir))))
        for _ in range(5):
            next(stream)
        progress.advance(Counter(spam=2, ham=3))  # too soon after the last
        assert capsys.readouterr().err == ""
        progress.advance(Counter(spam=2, ham=3))
        assert capsys.readouterr().err == " 50%  5 mails, 2 spam, 0.5 a second, 0:10 left"
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_progress_of_a_file_goes_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = tmp_path / "box.mbox"
    box.write_bytes(b"".join(FROM + raw(n, LETTER) + b"\n" for n in range(4)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ticks = iter([0.0, 10.0])
    clocks = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr("plugins.email_spam.scan_output.time", clocks)
    progress = Progress(str(box), quiet=False)
    stream = progress.counted(messages(iter_raw(str(box))))
    next(stream)
    progress.advance(Counter(ham=1))
    assert re.match(
        r" (19|2\d)%  1 mails, 0 spam, 0.1 a second, 0:\d\d left$", capsys.readouterr().err
    )
