"""Our own data: whole, well formed, split without leaks."""

from __future__ import annotations

import gzip
import json
import lzma
import re
from collections import Counter
from pathlib import Path

import pytest

from assistant.errors import BadInputError
from training.datasets import DIALOGUE_FILES, MAIL_FILES, WRITTEN
from training.datasets.jsonl import files_sha256, find_files, read_rows
from training.datasets.splits import split_of, split_unit
from training.finetuning.labelled_text import fingerprint

EVALUATION_MAIL = [
    WRITTEN.parent / "evaluation" / f"{stem}.jsonl"
    for stem in ("everyday_mail", "everyday_notes", "modern_mail")
]
GROUNDED_FILES = ("gro", "gr2", "gr3")
RESERVED = re.compile(r"\.(example|invalid|test)(\.|$)")  # RFC 2606


def _rows(stem: str) -> list[dict[str, object]]:
    return [row for _, row in read_rows(WRITTEN / f"{stem}.jsonl")]


def _mails() -> list[dict[str, object]]:
    return [row for stem in MAIL_FILES for row in _rows(stem)]


@pytest.mark.parametrize("stem", DIALOGUE_FILES)
def test_dialogues_alternate_and_end_with_the_assistant(stem: str) -> None:
    for row in _rows(stem):
        messages = row["messages"]
        assert isinstance(messages, list)
        roles = [message["role"] for message in messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2), row["id"]
        assert all("{{" not in message["content"] for message in messages), row["id"]
        assert row["kind"] == "multi" or len(roles) == 2, row["id"]


def test_ids_are_unique_in_all_files() -> None:
    ids = Counter(row["id"] for stem in (*DIALOGUE_FILES, *MAIL_FILES) for row in _rows(stem))
    assert [i for i, n in ids.items() if n > 1] == []


@pytest.mark.parametrize("stem", GROUNDED_FILES)
def test_grounded_answers_cite_notes_that_are_there(stem: str) -> None:
    for row in _rows(stem):
        notes, messages = row["context"], row["messages"]
        assert isinstance(notes, list)
        assert isinstance(messages, list)
        cited = {
            int(number)
            for message in messages
            if message["role"] == "assistant"
            for number in re.findall(r"\[(\d+)\]", message["content"])
        }
        assert cited <= set(range(1, len(notes) + 1)), row["id"]


def test_mail_is_labelled_and_uses_reserved_domains_only() -> None:
    for row in _mails():
        assert row["label"] in ("ham", "spam")
        headers = row["headers"]
        assert isinstance(headers, dict)
        domain = headers["From"].rpartition("@")[2].strip("> ")
        assert RESERVED.search(f".{domain}"), row["id"]


@pytest.mark.parametrize("path", EVALUATION_MAIL, ids=lambda path: path.stem)
def test_mail_for_evaluation_is_whole_and_never_trained_on(path: Path) -> None:
    rows = [row for _, row in read_rows(path)]
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["label"] for row in rows} <= {"ham", "spam"}
    trained = {fingerprint(str(row["body"])) for row in _mails()}
    assert [row["id"] for row in rows if fingerprint(str(row["body"])) in trained] == []
    readme = (WRITTEN / "README.md").read_text(encoding="utf-8")
    assert f"| `{path.name}` | {len(rows)} |" in readme


def test_counts_in_the_readme_are_the_counts_of_the_files() -> None:
    readme = (WRITTEN / "README.md").read_text(encoding="utf-8")
    for stem in (*DIALOGUE_FILES, *MAIL_FILES):
        assert f"| `{stem}.jsonl` | {len(_rows(stem))} |" in readme
    labels = Counter(row["label"] for row in _mails())
    assert f"{labels['ham']} good (ham), {labels['spam']} spam" in readme


def test_the_split_of_an_item_depends_on_its_id_alone() -> None:
    ids = [f"acc-{n:04d}" for n in range(1, 2001)]
    splits = {i: split_of(i) for i in ids}
    assert splits == {i: split_of(i) for i in reversed(ids)}
    shares = Counter(splits.values())
    assert 0.87 < shares["train"] / 2000 < 0.93
    assert 0.03 < shares["validation"] / 2000 < 0.07
    assert 0.03 < shares["test"] / 2000 < 0.07


def test_known_ids_keep_their_split_for_ever() -> None:
    pinned = {
        "mail-0001": "train",
        "mail-0002": "train",
        "mail-0010": "validation",
        "mail-0043": "test",
    }
    assert {i: split_of(i) for i in pinned} == pinned


@pytest.mark.parametrize("stem", GROUNDED_FILES)
def test_the_five_questions_of_one_organisation_share_a_split(stem: str) -> None:
    rows = _rows(stem)
    for block in range(0, len(rows), 5):
        five = rows[block : block + 5]
        assert [row["id"] for row in five] == [f"{stem}-{block + n:04d}" for n in range(1, 6)]
        assert len({row["topic"] for row in five}) == 1
        assert len({split_unit(str(row["id"])) for row in five}) == 1
        assert len({split_of(str(row["id"])) for row in five}) == 1
    assert split_unit(f"{stem}-0005") != split_unit(f"{stem}-0006")


def test_blocks_of_two_grounded_files_are_not_one() -> None:
    assert split_unit("gro-0001") != split_unit("gr2-0001")


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.xz"])
def test_plain_and_compressed_lines_read_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mail{suffix}"
    data = (json.dumps({"text": "grüße"}) + "\n\n" + json.dumps({"text": "b"}) + "\n").encode()
    pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.xz": lzma.compress}[suffix]
    path.write_bytes(pack(data))
    assert list(read_rows(path)) == [
        (f"{path}:1", {"text": "grüße"}),
        (f"{path}:3", {"text": "b"}),
    ]
    assert find_files([tmp_path]) == [path]
    assert set(files_sha256([path])) == {path.name}


@pytest.mark.parametrize("line", ['{"text": ', "[1, 2]", "\udcff"])
def test_a_broken_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ValueError, match=r"broken\.jsonl:2: "):
        list(read_rows(path))


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.xz"
    path.write_bytes(lzma.compress(b'{"a": 1}\n' * 100)[:-20])
    with pytest.raises(BadInputError, match=r"cut\.jsonl\.xz: damaged or cut short"):
        list(read_rows(path))


def test_places_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no file or folder"):
        find_files([tmp_path / "nothing"])
    with pytest.raises(ValueError, match="holds no file"):
        find_files([tmp_path])
