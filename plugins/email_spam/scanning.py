"""A mailbox of any size through the classifier: read ahead, scored in batches, remembered.

What was scored is stored with each batch, keyed by the message's digest and the model. A scan
that was killed and starts again asks the store first, so it goes on where it was; so does a scan
that moves what a rehearsal has found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING

from assistant.plugin_api import BadInputError
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.checking import Verdict, has_text
from plugins.email_spam.mail import Mail
from plugins.email_spam.mailbox import OnError
from plugins.email_spam.reading import read_message
from plugins.email_spam.store import now

if TYPE_CHECKING:
    from sqlite_utils import Database

    from plugins.email_spam.checker import Checker

BATCH = 64  # messages


@dataclass(frozen=True)
class Message:
    """A message of a mailbox, not yet parsed.

    Attributes:
        source: for people.
        digest: tells it from any other message.
        load: returns its bytes; raises BadInputError.
        remote: loading costs more than what a known message is worth.
    """

    source: str
    digest: bytes
    load: Callable[[], bytes]
    remote: bool = False


@dataclass(frozen=True)
class Scanned:
    """A judged message; ``subject`` is empty when it was known and lies elsewhere."""

    source: str
    subject: str
    sender: str
    sent: str
    verdict: Verdict
    probability: float
    known: bool


@dataclass(frozen=True)
class _Read:
    """A message as the scorer needs it; its bytes are gone."""

    source: str
    digest: bytes
    mail: Mail | None
    text: str
    known: tuple[float, bool, str, str] | None  # probability, judged, sender, sent


def messages(raw: Iterable[tuple[str, bytes]]) -> Iterator[Message]:
    """Wrap ``mailbox.iter_raw``: the digest is that of the bytes."""
    for source, content in raw:
        digest = hashlib.blake2b(content, digest_size=16).digest()
        yield Message(source, digest, lambda content=content: content)  # type: ignore[misc]


def begin(db: Database, path: bytes, model: str) -> int:
    """Note the start of a scan and return its number."""
    row = {"path": path, "model": model, "started": now()}
    return int(db["scan"].insert(row).last_pk)  # type: ignore[union-attr, arg-type]


def finish(db: Database, number: int, rehearsed: bytes | None, threshold: float) -> None:
    """Note the end of a scan, and where it would have moved spam if it was a rehearsal."""
    db.execute(
        "UPDATE scan SET finished = ?, rehearsed = ?, threshold = ? WHERE number = ?",
        [now(), rehearsed, threshold, number],
    )


def rehearsed(db: Database, path: bytes, target: bytes, model: str, threshold: float) -> bool:
    """Whether a finished scan of ``path`` by this model has shown what would go to ``target``.

    A higher threshold than the one it was shown for moves less, which is fine.
    """
    query = (
        "SELECT 1 FROM scan WHERE path = ? AND rehearsed = ? AND model = ? AND threshold <= ? "
        "AND finished IS NOT NULL"
    )
    return db.execute(query, [path, target, model, threshold]).fetchone() is not None


def scan(
    stream: Iterable[Message],
    checker: Checker,
    db: Database,
    number: int,
    on_error: OnError,
    threshold: float | None = None,
) -> Iterator[list[Scanned]]:
    """Judge messages and yield them in batches, in order, each batch stored before it is yielded.

    One thread reads and parses the next batch while the model scores this one on every core.
    """
    reading = _Reading(iter(stream), db, checker.classifier.key, on_error)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        following = reader.submit(reading.batch)
        while batch := following.result():
            following = reader.submit(reading.batch)
            yield _judge(batch, checker, reading, number, threshold)


class _Reading:
    """Reads batches ahead; ``lock`` keeps its questions out of the scorer's transaction."""

    def __init__(
        self, stream: Iterator[Message], db: Database, model: str, on_error: OnError
    ) -> None:
        self._stream, self.db, self._model, self._on_error = stream, db, model, on_error
        self.lock = Lock()

    def batch(self) -> list[_Read]:
        """Return the next messages that can be read; an empty list at the end."""
        batch: list[_Read] = []
        for message in self._stream:
            try:
                batch.append(self._read(message))
            except BadInputError as error:
                self._on_error(message.source, error)
            if len(batch) == BATCH:
                break
        return batch

    def _read(self, message: Message) -> _Read:
        query = (
            "SELECT probability, judged, sender, sent FROM result WHERE digest = ? AND model = ?"
        )
        with self.lock:
            row = self.db.execute(query, [message.digest, self._model]).fetchone()
        known = None if row is None else (float(row[0]), bool(row[1]), str(row[2]), str(row[3]))
        if known and message.remote:
            return _Read(message.source, message.digest, None, "", known)
        mail = read_message(message.load(), message.source)
        text = "" if known else canonical_text(mail)
        return _Read(message.source, message.digest, mail, text, known)


def _judge(
    batch: list[_Read], checker: Checker, reading: _Reading, number: int, threshold: float | None
) -> list[Scanned]:
    fresh = [read for read in batch if read.known is None]
    scores = checker.classifier.score_quickly([read.text for read in fresh])
    probabilities = {id(r): s.probability for r, s in zip(fresh, scores, strict=True)}
    results = [_result(read, probabilities.get(id(read)), checker, threshold) for read in batch]
    model = checker.classifier.key
    with reading.lock, reading.db.atomic() as db:
        for read, (found, judged) in zip(batch, results, strict=True):
            row = [read.digest, model, number, found.probability, int(judged), found.verdict,
                   found.sender, found.sent]  # fmt: skip
            db.execute("INSERT OR REPLACE INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return [found for found, _ in results]


def _result(
    read: _Read, fresh: float | None, checker: Checker, threshold: float | None
) -> tuple[Scanned, bool]:
    mail = read.mail
    if read.known is None:
        assert fresh is not None and mail is not None  # noqa: S101, PT018 - invariant
        probability, judged = fresh, has_text(mail)
        sender, sent = mail.sender_address.lower(), day_of(mail.date)
    else:
        probability, judged, sender, sent = read.known
    decided = checker.decide(sender, judged, probability, threshold)
    subject = mail.subject if mail else ""
    known = read.known is not None
    return Scanned(read.source, subject, sender, sent, decided, probability, known), judged


def day_of(date: str) -> str:
    """Return the day of a Date header as YYYY-MM-DD, empty when there is none to be believed."""
    try:
        day = parsedate_to_datetime(date[:100])
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
    return day.strftime("%Y-%m-%d") if 1970 <= day.year <= 2100 else ""
