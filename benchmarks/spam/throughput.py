"""Mails a second, beside SpamAssassin in the same run, and the memory of a scan.

    apt-get install spamassassin      (only for the comparison)
    python -m benchmarks.spam.throughput [MAILBOX...] [--mails 120] [--rounds 3]

A MAILBOX may also be a file of rows as the classifier is trained on, FILE.jsonl[.xz]; of several
as many mails are taken of each. Without one the project's own written mails are used. Both read
the same messages in turns, round by round: SpamAssassin through its Perl library with local tests
only, compiled once, one process a core, so that neither its start nor the network counts; the scan
as `assistant spam scan` runs it, its database included. On a busy machine compare mails a CPU
second.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from plugins.email_spam.canonical import mail_of_row
from plugins.email_spam.mailbox import iter_raw

WRITTEN = Path(__file__).parents[2] / "training" / "datasets" / "mail.jsonl"
PERL = r"""
use Mail::SpamAssassin; use Time::HiRes 'time';
my $sa = Mail::SpamAssassin->new({local_tests_only => 1, dont_copy_prefs => 1,
                                  userprefs_filename => '/dev/null'});
$sa->compile_now(0);
$| = 1; print "ready\n"; <STDIN>;
for my $file (@ARGV) {
    open(my $in, '<:raw', $file) or die; local $/; my $mail = $sa->parse(scalar <$in>);
    my $status = $sa->check($mail); $status->finish; $mail->finish;
}
my ($u, $s) = times; print $u + $s, "\n";
"""


def message_of(row: dict[str, Any]) -> bytes:
    """Return a row of a data set as a message."""
    headers, body = row.get("headers"), str(row.get("body") or "")
    if headers is None:
        mail = mail_of_row({"text": row["text"]})
        body = mail.body
        sender = f'"{mail.sender_name}" <{mail.sender_address}>'
        headers = {"From": sender, "Subject": mail.subject, "Date": row.get("date") or ""}
    message = EmailMessage(policy=SMTP)
    for name, value in headers.items():
        message[name] = " ".join(_encodable(str(value)).split())
    message.set_content(_encodable(body))
    if row.get("html"):
        message.add_alternative(_encodable(row["html"]), subtype="html")
    return message.as_bytes()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def sample(mailboxes: list[str], count: int) -> list[bytes]:
    """Return ``count`` messages, as many of each mailbox, at even distances."""
    chosen: list[bytes] = []
    boxes = mailboxes or [str(WRITTEN)]
    for number, box in enumerate(boxes):
        found: list[Any]
        if rows := box.endswith((".jsonl", ".jsonl.xz")):
            with (lzma.open if box.endswith(".xz") else open)(box, "rt", encoding="utf-8") as file:
                found = list(file)
        else:
            found = [raw for _, raw in iter_raw(box, None, lambda *_: None)]
        wanted = count * (number + 1) // len(boxes) - count * number // len(boxes)
        some = found[:: max(1, len(found) // max(1, wanted))][:wanted]
        chosen += [message_of(json.loads(line)) for line in some] if rows else some
    return chosen


def scan_once(folder: Path, data: Path) -> tuple[float, float, int]:
    """Scan a folder in a fresh process; returns wall and CPU seconds, and peak memory in kB.

    The model's load is taken off by scanning an empty message alone first.
    """
    code = (
        "import sys, time, resource\n"
        "from plugins.email_spam.checker import load_checker\n"
        "from plugins.email_spam.mailbox import iter_raw\n"
        "from plugins.email_spam.scanning import begin, messages, scan\n"
        "from plugins.email_spam.store import open_store\n"
        "checker = load_checker(); checker.classifier.score(['warm'])\n"
        "def cpu(): u = resource.getrusage(resource.RUSAGE_SELF); return u.ru_utime + u.ru_stime\n"
        "start, used = time.perf_counter(), cpu()\n"
        "with open_store() as db:\n"
        "    stream = messages(iter_raw(sys.argv[1], None, lambda *_: None))\n"
        "    number = begin(db, b'x', 'x')\n"
        "    for batch in scan(stream, checker, db, number, lambda *_: None): pass\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(time.perf_counter() - start, cpu() - used, peak)\n"
    )
    environment = os.environ | {"FRONTDESK_DATA": str(data)}
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    wall, cpu, peak = result.stdout.split()
    return float(wall), float(cpu), int(peak)


def spamassassin_once(paths: list[Path], processes: int) -> tuple[float, float]:
    """Check files with SpamAssassin; returns wall and CPU seconds, both without its start."""
    running = []
    for index in range(processes):
        command = ["perl", "-e", PERL, *map(str, paths[index::processes])]
        running.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    started_cpu = sum(_cpu_of(process.pid) for process in running)
    start = time.perf_counter()
    cpu = 0.0
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        assert process.stdout is not None
        cpu += float(process.stdout.readline())
        process.wait()
    return time.perf_counter() - start, cpu - started_cpu


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.throughput")
    parser.add_argument("mailboxes", nargs="*", metavar="MAILBOX")
    parser.add_argument("--mails", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="also scan a large mbox")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    rivals = shutil.which("spamassassin") is not None
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = work / "cur"
        folder.mkdir()
        for number, raw in enumerate(sample(options.mailboxes, options.mails)):
            (folder / f"{number:05}").write_bytes(raw)
        paths = sorted(folder.iterdir())
        ours, theirs = [], []
        for turn in range(options.rounds):
            ours.append(scan_once(work, work / f"data{turn}"))
            if rivals:
                theirs.append(spamassassin_once(paths, cores))
            print(f"round {turn + 1} done", file=sys.stderr)
        print(f"{len(paths)} mails, {options.rounds} rounds in turns, {cores} cores\n")
        print("| what | mails/s | mails a CPU second | peak memory |\n|---|---|---|---|")
        _row("assistant spam scan", len(paths), ours, max(peak for *_, peak in ours))
        if rivals:
            label = f"SpamAssassin, local tests, {cores} processes"
            _row(label, len(paths), [(wall, cpu, 0) for wall, cpu in theirs], 0)
        if options.memory:
            _large(work)


def _row(name: str, mails: int, rounds: list[tuple[float, float, int]], peak: int) -> None:
    wall = statistics.median(mails / wall for wall, _, _ in rounds)
    cpu = statistics.median(mails / max(cpu, 1e-9) for _, cpu, _ in rounds)
    print(f"| {name} | {wall:.1f} | {cpu:.1f} | {f'{peak / 1024:.0f} MB' if peak else ''} |")


def _large(work: Path) -> None:
    """Scan an mbox of 1 GB, mostly of one-megabyte attachments, one message of 50 MB among it."""
    box = work / "large.mbox"
    head = b"From a@b.example Sat Aug 24 09:01:00 2024\nFrom: a@b.example\nSubject: %d\n"
    kind = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello there my friend\n--b\n"
    with open(box, "wb") as file:
        for number in range(200):
            size = 50_000_000 if number == 100 else 5_000_000
            file.write(head % number + kind + b"Content-Type: image/png\n\n")
            file.write((b"A" * 76 + b"\n") * (size // 77) + b"\n--b--\n\n")
    wall, _, peak = scan_once(box, work / "large")
    size = box.stat().st_size / 1e9
    print(f"\nAn mbox of {size:.1f} GB: {wall:.0f} s, peak memory {peak / 1024:.0f} MB")


if __name__ == "__main__":
    main()
