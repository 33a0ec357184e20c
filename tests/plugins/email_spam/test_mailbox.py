"""Messages out of files, mailboxes, folders and standard input."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from assistant.plugin_api import BadInputError
from plugins.email_spam.mailbox import iter_mails, iter_raw

LETTER = b"From: Ana <ana@sol.example>\nSubject: Tea\n\nHello there\n"


def test_an_mbox_is_split_and_its_from_lines_unquoted(samples: Path) -> None:
    errors: list[str] = []
    path = str(samples / "inbox.mbox")
    mails = list(iter_mails(path, on_error=lambda source, error: errors.append(source)))
    assert [mail.subject for _, mail in mails] == ["first", "second", "third"]
    assert [source for source, _ in mails] == [f"{path}#1", f"{path}#2", f"{path}#4"]
    assert "\nFrom now on everything" in mails[0][1].body
    assert "\nFrom the garden" in mails[0][1].body  # unquoted by its writer, still no new message
    assert errors == [f"{path}#3"]


def test_an_mbox_is_read_lazily() -> None:
    class Endless(io.RawIOBase):
        def readline(self, size: int | None = -1, /) -> bytes:
            self.lines = getattr(self, "lines", 0) + 1
            cycle = [b"From a@b.example Sat Aug 24 09:01:00 2024\n", b"Subject: s\n", b"\n", b"x\n"]
            return [*cycle, b"\n"][(self.lines - 1) % 5]

    stream = Endless()
    mails = iter_mails("-", stream)  # type: ignore[arg-type]
    assert [next(mails)[0] for _ in range(3)] == [f"standard input#{n}" for n in (1, 2, 3)]


def test_an_mbox_that_ends_in_the_middle_gives_what_is_there() -> None:
    stream = io.BytesIO(b"From a@b.example Sat Aug 24 09:01:00 2024\nFrom: a@b.example\nSubj")
    assert [mail.sender_address for _, mail in iter_mails("-", stream)] == ["a@b.example"]


def test_a_maildir_gives_new_and_current_mail_only(tmp_path: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"1.{name}").write_bytes(LETTER.replace(b"Tea", name.encode()))
    assert [mail.subject for _, mail in iter_mails(str(tmp_path))] == ["new", "cur"]


def test_links_and_pipes_inside_a_maildir_are_left_out(tmp_path: Path) -> None:
    box = tmp_path / "box"
    (box / "cur").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(LETTER)
    (box / "cur" / "1.link").symlink_to(tmp_path / "outside")
    os.mkfifo(box / "cur" / "2.fifo")
    (box / "cur" / "3.dir").mkdir()
    (box / "cur" / "4.good\nname").write_bytes(LETTER)
    errors: list[str] = []
    mails = list(iter_mails(str(box), on_error=lambda source, error: errors.append(source)))
    assert [mail.subject for _, mail in mails] == ["Tea"]
    assert [Path(source).name for source in errors] == ["1.link", "2.fifo", "3.dir"]


def test_a_folder_of_eml_files_is_read(samples: Path) -> None:
    subjects = {mail.subject for _, mail in iter_mails(str(samples))}
    assert {"saturday", "Grüße aus München"} <= subjects


def test_standard_input_may_be_one_message() -> None:
    assert [source for source, _ in iter_mails("-", io.BytesIO(LETTER))] == ["standard input"]


@pytest.mark.parametrize("name", ["missing.eml", "nul\0.eml", "empty"])
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError) as caught:
        list(iter_mails(str(tmp_path / name)))
    assert caught.value.hint


def test_devices_are_refused() -> None:
    with pytest.raises(BadInputError, match="not a file"):
        list(iter_raw("/dev/zero"))


MBOX = b"".join(
    b"From a@b.example Sat Aug 24 09:01:00 2024\nFrom: a@b.example\nSubject: %d\n\nx\n\n" % n
    for n in range(5)
)


def subjects(path: Path, errors: list[str] | None = None) -> list[str]:
    def on_error(source: str, error: BadInputError) -> None:
        (errors if errors is not None else []).append(str(error))

    return [mail.subject for _, mail in iter_mails(str(path), on_error=on_error)]


@pytest.mark.parametrize("module", ["gzip", "bz2", "lzma"])
def test_a_compressed_mailbox_is_read_as_a_stream(tmp_path: Path, module: str) -> None:
    path = tmp_path / "box.any-name"
    path.write_bytes(importlib.import_module(module).compress(MBOX))
    assert subjects(path) == ["0", "1", "2", "3", "4"]


def test_of_a_damaged_archive_what_came_before_is_read_and_the_rest_said(tmp_path: Path) -> None:
    path = tmp_path / "box.gz"
    random = os.urandom(40_000).hex().encode()  # so that it does not end in one block
    path.write_bytes(gzip.compress(MBOX + random)[:-20_000])
    errors: list[str] = []
    assert subjects(path, errors)[:4] == ["0", "1", "2", "3"]
    assert "is damaged or ends too early" in errors[-1]


def test_a_zip_archive_gives_its_messages_and_mailboxes(tmp_path: Path) -> None:
    path = tmp_path / "mail.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/one.eml", LETTER)
        archive.writestr("folder/box.mbox", MBOX)
        archive.writestr("__MACOSX/._one.eml", b"\0\5\26\7")
        archive.writestr("maildir/tmp/unfinished", LETTER)
        archive.writestr("empty/", b"")
    sources = [source for source, _ in iter_mails(str(path))]
    assert len(sources) == 6
    assert sources[0] == f"{path}/../../etc/one.eml"
    assert {p.name for p in tmp_path.iterdir()} == {"home", "mail.zip"}  # nothing was unpacked


def test_a_bomb_is_read_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.email_spam.archives.ALWAYS_READ", 200_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.eml", LETTER)
        for number in range(20):
            archive.writestr(f"{number}.eml", LETTER + b"\0" * 5_000_000)
    errors: list[str] = []
    assert len(subjects(path, errors)) < 8
    assert "expands more than 200 times" in errors[0]


def test_an_encrypted_or_broken_zip_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.eml", LETTER)
        archive.writestr("two.eml", LETTER)
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    content[entry + 8] |= 1  # the flag "encrypted" of the first entry
    path.write_bytes(bytes(content))
    errors: list[str] = []
    assert subjects(path, errors) == ["Tea"]
    assert "encrypted or damaged" in errors[0]
    path.write_bytes(bytes(content[:40]))
    with pytest.raises(BadInputError, match="no zip archive"):
        list(iter_mails(str(path)))


def test_an_mh_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for name in ("1", "2", "10", ".mh_sequences", "notes.txt", ",3"):
        (tmp_path / name).write_bytes(LETTER.replace(b"Tea", name.encode()))
    (tmp_path / "4").mkdir()
    errors: list[str] = []
    assert subjects(tmp_path, errors) == ["1", "2", "10"]
    assert len(errors) == 1


def test_a_file_that_vanishes_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cur").mkdir()
    for name in "abc":
        (tmp_path / "cur" / name).write_bytes(LETTER)
    errors: list[str] = []
    found = 0
    for _ in iter_mails(str(tmp_path), on_error=lambda source, error: errors.append(source)):
        found += 1
        (tmp_path / "cur" / "b").unlink(missing_ok=True)
    assert (found, [Path(e).name for e in errors]) == (2, ["b"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cur").mkdir()
    (tmp_path / "cur" / "a").write_bytes(LETTER)
    (tmp_path / "cur" / "a").chmod(0)
    errors: list[str] = []
    assert subjects(tmp_path, errors) == []
    assert "Permission denied" in errors[0]


def test_a_wrong_content_length_does_not_matter() -> None:
    box = MBOX.replace(b"Subject", b"Content-Length: 999999\nSubject")
    assert len(list(iter_mails("-", io.BytesIO(box)))) == 5
