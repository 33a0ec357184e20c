"""The unit of work that Dask or Ray runs on many machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.spam.many_mails import judge_mailbox
from tests.support.words import WordClassifier


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker sets for itself, and this process forgets."""
    monkeypatch.setenv("FRONTDESK_THREADS", "1")


def test_a_mailbox_becomes_one_complete_file_of_results(
    samples: Path, tmp_path: Path, classifier: WordClassifier
) -> None:
    file, count = judge_mailbox(str(samples / "inbox.mbox"), str(tmp_path))
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    assert count == len(rows) == 4
    assert [row["source"].rpartition("#")[2] for row in rows if "error" in row] == ["3"]
    assert {row["verdict"] for row in rows if "error" not in row} <= {"spam", "ham", "unsure"}
    assert [path.name for path in tmp_path.glob("*.jsonl*")] == [Path(file).name]


def test_a_mailbox_that_has_been_judged_is_not_judged_again(
    samples: Path, tmp_path: Path, classifier: WordClassifier
) -> None:
    first = judge_mailbox(str(samples / "inbox.mbox"), str(tmp_path))
    asked = len(classifier.texts)
    assert judge_mailbox(str(samples / "inbox.mbox"), str(tmp_path)) == first
    assert len(classifier.texts) == asked
