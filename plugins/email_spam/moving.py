"""Moving spam out of a folder, with a journal: whatever was moved can be moved back.

Each move is written to the journal before it happens. Nothing is ever overwritten: a file is
linked under its new name, which fails if that exists, and then unlinked under the old one.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.plugin_api import AssistantError, BadInputError
from plugins.email_spam.mailbox import maildir_boxes

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Undone:
    """What became of one move: an empty ``problem`` means that the file is back."""

    source: str
    target: str
    problem: str = ""


class Mover:
    """Moves messages of a Maildir, an MH folder or a folder of files into another folder.

    Args:
        folder: where messages come from.
        target: where they go; a Maildir if ``folder`` is one, made when missing.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        if not folder.is_dir():
            raise BadInputError(
                f"Spam can be moved out of folders of messages only, and {folder} is none",
                "Use --json or --csv to list it, or keep the mail in a Maildir",
            )
        if target.resolve() in {folder.resolve(), *(b.resolve() for b in maildir_boxes(folder))}:
            raise BadInputError("Spam cannot be moved to where it comes from")
        if target.exists() and not target.is_dir():
            raise BadInputError(f"{target} is not a folder")
        self._maildir = bool(maildir_boxes(folder))
        self.target = target

    def prepare(self) -> None:
        """Make the target folder.

        Raises:
            BadInputError: it cannot be made.
        """
        folders = [self.target]
        if self._maildir:
            folders += [self.target / name for name in ("cur", "new", "tmp")]
        try:
            for folder in folders:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BadInputError(f"{self.target} cannot be made ({error.strerror})") from error

    def move(self, db: Database, scan: int, source: str) -> Path:
        """Move one message and return where it is now.

        Raises:
            AssistantError: it cannot be moved; it is still where it was.
        """
        place = self.target / "cur" if self._maildir else self.target
        name = os.path.basename(source)
        if self._maildir and ":2," not in name:
            name += ":2,"  # what lies in cur has a list of flags, even an empty one
        target = _free(place, name)
        row = [scan, os.fsencode(source), os.fsencode(target)]
        entry = db.execute(
            "INSERT INTO move (scan, source, target, state) VALUES (?, ?, ?, 'planned')", row
        ).lastrowid
        try:
            _move(source, str(target))
        except OSError as error:
            _set_state(db, int(entry or 0), "failed")
            raise AssistantError(f"{source} could not be moved ({error.strerror})") from error
        _set_state(db, int(entry or 0), "moved")
        return target


def _free(folder: Path, name: str) -> Path:
    """Return a name that nothing has; among the numbers of an MH folder the next one."""
    target = folder / name
    numbered = name.isascii() and name.isdigit()
    for count in range(1, 100_000):
        if not os.path.lexists(target):
            break
        target = folder / (str(int(name) + count) if numbered else f"{count}-{name}")
    return target


def last_scan_with_moves(db: Database) -> int | None:
    """Return the number of the newest scan whose moves can be undone."""
    query = "SELECT max(scan) FROM move WHERE state IN ('planned', 'moved')"
    number = db.execute(query).fetchone()[0]
    return None if number is None else int(number)


def undo(db: Database, scan: int, dry_run: bool = False) -> list[Undone]:
    """Move the files of a scan back, newest first; what cannot go back is said and left."""
    rows = db.execute(
        "SELECT number, source, target FROM move WHERE scan = ? AND state IN ('planned', 'moved') "
        "ORDER BY number DESC",
        [scan],
    ).fetchall()
    undone = []
    for number, source_bytes, target_bytes in rows:
        source, target = os.fsdecode(source_bytes), os.fsdecode(target_bytes)
        problem = ""
        if not os.path.lexists(target):
            if os.path.lexists(source):  # planned, then killed before it happened
                if not dry_run:
                    _set_state(db, number, "undone")
                continue
            problem = "it is no longer there"
        elif os.path.lexists(source):
            problem = "another file has its old name"
        elif not dry_run:
            try:
                os.makedirs(os.path.dirname(source), mode=0o700, exist_ok=True)
                _move(target, source)
                _set_state(db, number, "undone")
            except OSError as error:
                problem = str(error.strerror)
        undone.append(Undone(source, target, problem))
    return undone


def _move(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        # another file system, or one without hard links
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}:
            raise
        _copy(source, target)
    os.unlink(source)


def _copy(source: str, target: str) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW
    with open(os.open(source, flags), "rb") as old, open(target, "xb") as new:
        try:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
            status = os.fstat(old.fileno())
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            os.unlink(target)
            raise


def _set_state(db: Database, number: int, state: str) -> None:
    db.execute("UPDATE move SET state = ? WHERE number = ?", [state, number])
