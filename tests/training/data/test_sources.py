"""Reading documents: every format, and data as broken as it comes."""

from __future__ import annotations

import gzip
import itertools
import json
import lzma
from pathlib import Path

import pytest
import zstandard

from assistant.errors import BadInputError
from training.data import sources
from training.data.broken import Broken
from training.data.rows import document_text
from training.data.sources import documents, find_files


def read(*paths: Path, limit: int = 0) -> list[tuple[str, str, int]]:
    found = documents(find_files(paths), Broken(limit))
    return [(d.text, Path(d.source).name, d.line) for d in found]


def test_text_markdown_and_compressed_lines_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("\ufeffplain\n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.md").write_text("# head")
    rows = "".join(json.dumps({"text": t}) + "\n" for t in ("one", "", "two"))
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(rows.encode()))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "ignored.bin").write_bytes(b"\x00")
    (tmp_path / ".hidden.txt").write_text("no")
    assert read(tmp_path) == [
        ("one", "a.jsonl.xz", 1),
        ("", "a.jsonl.xz", 2),
        ("two", "a.jsonl.xz", 3),
        ("plain", "b.txt", 1),
        ("one", "d.jsonl.gz", 1),
        ("", "d.jsonl.gz", 2),
        ("two", "d.jsonl.gz", 3),
        ("# head", "c.md", 1),
    ]


def test_chats_mails_and_grounded_items_become_text() -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    assert document_text(chat) == "hi\n\nho"
    assert document_text(chat | {"context": [{"title": "t", "text": "note"}]}) == "note\n\nhi\n\nho"
    assert document_text({"headers": {"Subject": "s"}, "body": "b\n"}) == "s\n\nb"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a"', "delimiter"),
        (b"[1]", "not a JSON object"),
        (b'{"body": 1}', "not a string"),
        (b'{"messages": [{"role": "user"}]}', "not a string"),
        (b'{"messages": [{"role": "judge", "content": "x"}]}', "unknown role 'judge'"),
        (b'{"conversations": [{"from": "dog", "value": "x"}]}', "unknown role 'dog'"),
        (b'{"messages": ["x"]}', "no object"),
        (b'{"messages": 3}', "not a list"),
        (b'{"id": 3}', "neither text, messages nor body"),
        (b'{"text": "\xff"}', "codec"),
        (b"[" * 100_000, ""),
    ],
)
def test_a_broken_line_is_named_skipped_and_counted(
    line: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "before"}\n' + line + b'\n\n{"text": "after"}\n')
    assert read(path, limit=1) == [("before", "a.jsonl", 1), ("after", "a.jsonl", 4)]
    warning = capsys.readouterr().err
    assert f"{path}:2: " in warning
    assert reason in warning
    with pytest.raises(BadInputError, match=r"a\.jsonl:2: .*max_broken"):
        read(path, limit=0)


def test_a_line_too_long_is_skipped_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.data.broken.LONGEST_LINE", 64)
    path = tmp_path / "a.jsonl"
    long = json.dumps({"text": "x" * 1000})
    path.write_text(f'{{"text": "a"}}\n{long}\n{{"text": "b"}}\n')
    assert read(path, limit=1) == [("a", "a.jsonl", 1), ("b", "a.jsonl", 3)]
    assert "a.jsonl:2: longer than" in capsys.readouterr().err


def test_a_long_text_becomes_several_documents_cut_at_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LONGEST_TEXT", 10)
    (tmp_path / "a.txt").write_text("first line\nsecond line\nthird")
    assert read(tmp_path / "a.txt") == [
        ("first line", "a.txt", 1),
        ("second line", "a.txt", 2),
        ("third", "a.txt", 3),
    ]


def test_text_that_is_not_utf8_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\nthr\xe9e\n")
    assert read(tmp_path / "a.txt", limit=1) == []
    assert "a.txt:3: not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["xz", "gz", "zst"])
def test_a_cut_archive_is_an_error(suffix: str, tmp_path: Path) -> None:
    compress = {"xz": lzma.compress, "gz": gzip.compress, "zst": zstandard.compress}[suffix]
    rows = "".join(json.dumps({"text": str(n) * 50}) + "\n" for n in range(500))
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(compress(rows.encode())[:-30])
    with pytest.raises(BadInputError, match="damaged or cut short"):
        read(path)
    path.write_bytes(b"this is no archive")
    with pytest.raises(BadInputError, match="damaged or cut short"):
        read(path)


def test_missing_unknown_and_empty_inputs_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        find_files([tmp_path / "nothing"])
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(BadInputError, match="unknown kind"):
        find_files([tmp_path / "a.pdf"])
    with pytest.raises(BadInputError, match="nothing to read"):
        find_files([tmp_path])


def test_rows_of_the_usual_data_sets_become_text() -> None:
    alpaca = {"instruction": "Add", "input": "1 and 2", "output": "3"}
    assert document_text(alpaca) == "Add\n\n1 and 2\n\n3"
    assert document_text({"prompt": "a", "completion": "b"}) == "a\n\nb"
    assert document_text({"question": "a", "answer": "b", "id": 1}) == "a\n\nb"
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
    assert document_text({"conversations": turns}) == "hi\n\nho"


def test_zstandard_front_matter_and_json_arrays(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": t}) + "\n" for t in ("one", "two"))
    (tmp_path / "a.jsonl.zst").write_bytes(
        zstandard.compress(rows[:20].encode()) + zstandard.compress(rows[20:].encode())
    )
    (tmp_path / "b.md").write_text("---\ntitle: x\n---\n# head\n\n---\nbody\n")
    (tmp_path / "c.json").write_text(json.dumps([{"text": "three, [four"}, {"text": "five"}]))
    (tmp_path / "d.json").write_text('{"text": "six"}')
    assert [text for text, _, _ in read(tmp_path)] == [
        "one", "two", "# head\n\n---\nbody", "three, [four", "five", "six",
    ]  # fmt: skip


def test_a_broken_json_array_gives_what_comes_before(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "one"}, {"id": 3}, {"text": "two"}, {"te')
    found = Broken(2, quiet=True)
    assert [d.text for d in documents([tmp_path / "a.json"], found)] == ["one", "two"]
    assert [place.rpartition(": ")[2] for place, _ in found.found] == ["object 2", "object 4"]


def test_tables_are_read_by_the_column_that_holds_the_text(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(
        b'id,Review,source,license\n1,"good,\nreally",site/a,MIT\n2,caf\xe9,site,\n3,fine,,\n4\n'
    )
    found = Broken(9, quiet=True)
    rows = list(documents([path], found))
    assert [(d.text, d.line, d.origin, d.licence) for d in rows] == [
        ("good,\nreally", 2, "site", "MIT"),
        ("fine", 5, "reviews", ""),
    ]
    assert found.found == [(f"{path}:4", "not UTF-8"), (f"{path}:6", "has no column Review")]
    assert [d.text for d in documents([path], Broken(9, quiet=True), column="id")] == list("1234")
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInputError, match=r"no column text or content.*It has a, b"):
        read(tmp_path / "b.csv")
    (tmp_path / "c.tsv").write_text("text\tn\nhello\t1\n")
    assert read(tmp_path / "c.tsv") == [("hello", "c.tsv", 2)]


def test_mail_is_read_from_files_boxes_and_maildirs(tmp_path: Path) -> None:
    raw = b"From: a@example.org\nSubject: =?utf-8?q?Caf=C3=A9?=\n\nSee you there.\n"
    (tmp_path / "one.eml").write_bytes(raw)
    line = b"From a@example.org Thu Jan  1 00:00:00 2026\n"
    (tmp_path / "two.mbox.gz").write_bytes(gzip.compress((line + raw + b"\n") * 2))
    for box in ("cur", "new", "tmp"):
        (tmp_path / "inbox" / box).mkdir(parents=True)
        (tmp_path / "inbox" / box / "17.host").write_bytes(raw)
    found = list(documents(find_files([tmp_path]), Broken(0)))
    assert {document.text for document in found} == {"Café\n\nSee you there."}
    assert [document.origin for document in found] == ["inbox", "inbox", "one", "two", "two"]


def test_parts_of_a_file_hold_each_line_once(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "x" * n}) for n in range(40)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines) + "\n")
    size = path.stat().st_size
    for step in (1, 7, 50, size):
        edges = [*range(0, size, step), size]
        found = [
            len(document.text)
            for start, stop in itertools.pairwise(edges)
            for document, _ in sources.read_slice(sources.Slice(path, start, stop), Broken(0))
        ]
        assert found == list(range(40)), step
