"""Messages out of files, mailboxes, folders and standard input."""

from __future__ import annotations

import io
import os
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
