"""``spam report``: counts, senders and a timeline of what the scans found."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.plugin_api import sanitize_line
from plugins.email_spam.commands.common import table
from plugins.email_spam.links import defang_host

if TYPE_CHECKING:
    from sqlite_utils import Database

_BAR = "█"
_HALF = "▌"
_LONGEST_TIMELINE = 40  # rows; more are joined into longer periods


@dataclass(frozen=True)
class Sender:
    """A sender's address and how many of its mails were spam."""

    address: str
    mails: int
    spam: int


@dataclass(frozen=True)
class Period:
    """A day, month or year (its prefix of an ISO date) and its mails by verdict."""

    name: str
    spam: int
    unsure: int
    ham: int


@dataclass(frozen=True)
class SpamReport:
    """What was found; each distinct message counts once."""

    spam: int
    unsure: int
    ham: int
    senders: tuple[Sender, ...]
    timeline: tuple[Period, ...]
    undated: int

    @property
    def together(self) -> int:
        """All mails."""
        return self.spam + self.unsure + self.ham


def collect(db: Database, scan: int | None = None, top: int = 10) -> SpamReport:
    """Count the results of all scans by their last model, or of one scan."""
    if scan is None:
        newest = "(SELECT model FROM scan ORDER BY number DESC LIMIT 1)"
        where, values = f"model = {newest}", []
    else:
        where, values = "scan = ?", [scan]
    counts = dict(
        db.execute(
            f"SELECT verdict, count(*) FROM result WHERE {where} GROUP BY verdict",  # noqa: S608
            values,
        ).fetchall()
    )
    senders = db.execute(
        "SELECT sender, count(*) AS mails, sum(verdict = 'spam') AS spam "  # noqa: S608
        f"FROM result WHERE {where} AND sender <> '' GROUP BY sender "
        "HAVING spam > 0 ORDER BY spam DESC, mails DESC, sender LIMIT ?",
        [*values, top],
    ).fetchall()
    timeline, undated = _timeline(db, where, values)
    return SpamReport(
        spam=counts.get("spam", 0),
        unsure=counts.get("unsure", 0),
        ham=counts.get("ham", 0),
        senders=tuple(Sender(*row) for row in senders),
        timeline=timeline,
        undated=undated,
    )


def _timeline(db: Database, where: str, values: list[int]) -> tuple[tuple[Period, ...], int]:
    for length in (10, 7, 4):  # days, months, years
        rows = db.execute(
            f"SELECT substr(sent, 1, {length}) AS period, sum(verdict = 'spam'), "  # noqa: S608
            f"sum(verdict = 'unsure'), sum(verdict = 'ham') FROM result WHERE {where} "
            "GROUP BY period ORDER BY period",
            values,
        ).fetchall()
        undated = sum(sum(row[1:]) for row in rows if not row[0])
        dated = [Period(*row) for row in rows if row[0]]
        if len(dated) <= _LONGEST_TIMELINE:
            break
    return tuple(dated[-_LONGEST_TIMELINE:]), undated


def scans(db: Database) -> list[dict[str, Any]]:
    """Return the scans, newest first, with the number of results and moves of each."""
    return list(
        db.query(
            "SELECT number, path, started, finished, "
            "(SELECT count(*) FROM result WHERE scan = number) AS results, (SELECT count(*) "
            "FROM move WHERE move.scan = scan.number AND state = 'moved') AS moved "
            "FROM scan ORDER BY number DESC LIMIT 200"
        )
    )


def forget(db: Database) -> int:
    """Delete every result, scan and journal entry; return how many results there were."""
    count = int(db.execute("SELECT count(*) FROM result").fetchone()[0])
    db.execute("DELETE FROM scan")
    return count


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def scans_as_text(rows: list[dict[str, Any]]) -> str:
    """Return the scans as a table."""
    cells = [
        [
            _end(sanitize_line(os.fsdecode(row["path"]), 4000)),
            str(row["number"]),
            row["started"].replace("T", " ")[:16],
            "yes" if row["finished"] else "no",
            f"{row['results']:,}",
            f"{row['moved']:,}",
        ]
        for row in rows
    ]
    return table(cells, ["path", "scan", "started (UTC)", "finished", "mails", "moved"])


def as_text(report: SpamReport, width: int) -> str:
    """Return a report for people, at most ``width`` columns wide."""
    counts = [
        [word, f"{count:,}", f"{count / report.together:.1%}"]
        for word, count in (("spam", report.spam), ("unsure", report.unsure), ("ham", report.ham))
    ]
    lines = [table(counts, ["verdict", "mails", "share"])]
    if report.senders:
        rows = [
            [_shown(sender.address), f"{sender.spam:,}", f"{sender.mails:,}"]
            for sender in report.senders
        ]
        lines += ["", table(rows, ["senders of spam", "spam", "mails"])]
    if report.timeline:
        lines += ["", "Over time: spam " + _BAR * 3 + "  the rest " + "░" * 3, ""]
        lines += _plot(report.timeline, width)
    if report.undated:
        lines += ["", f"{report.undated:,} without a date"]
    return "\n".join(lines)


def as_json(report: SpamReport) -> dict[str, Any]:
    """Return a report as JSON-ready data."""
    return {
        "spam": report.spam,
        "unsure": report.unsure,
        "ham": report.ham,
        "senders": [vars(sender) for sender in report.senders],
        "timeline": [vars(period) for period in report.timeline],
        "undated": report.undated,
    }


def _plot(timeline: tuple[Period, ...], width: int) -> list[str]:
    """Return a bar a period: spam first, then the rest, to one scale."""
    longest = max(period.spam + period.unsure + period.ham for period in timeline)
    label = max(len(period.name) for period in timeline)
    room = max(10, width - label - 20)
    lines = []
    for period in timeline:
        total = period.spam + period.unsure + period.ham
        spam = round(room * period.spam / longest)
        rest = round(room * total / longest) - spam
        bar = _BAR * spam + "░" * max(0, rest)
        if not bar:
            bar = _HALF if period.spam else "░"
        lines.append(f"{period.name:<{label}}  {period.spam:>5,} of {total:<6,} {bar}")
    return lines


def _shown(address: str) -> str:
    local, at, domain = sanitize_line(address, 60).rpartition("@")
    return f"{local}{at}{defang_host(domain)}"


def _end(path: str, limit: int = 50) -> str:
    """Return a path, of a long one its end: that is what tells mailboxes apart."""
    return path if len(path) <= limit else "…" + path[1 - limit :]
