"""A million mails on an existing engine: the same function on Dask's workers.

    pip install 'dask[bag,distributed]'
    python -m benchmarks.spam.many_mails RESULTS FILE... [--scheduler tcp://HOST:8786]

Each FILE is a mailbox (mbox, .gz, Maildir, ...) and a unit of work: split a large mbox first.
Each worker process loads the model once and judges with ``judge_mailbox``, which is what `spam
scan` does without its database; a result file a mailbox is written under RESULTS as JSON Lines,
and mailboxes whose results are there are skipped, so a run that was killed goes on. Without
--scheduler the workers are processes of this machine, one a core. With Ray the same function is
``ray.remote(judge_mailbox)``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

BATCH = 64


def judge_mailbox(mailbox: str, results: str) -> tuple[str, int]:
    """Judge every message of a mailbox; returns the result file and how many rows it has.

    What cannot be read is a row with ``error``. The file appears when it is complete.
    """
    from assistant.plugin_api import BadInputError
    from plugins.email_spam.canonical import canonical_text
    from plugins.email_spam.checker import load_checker
    from plugins.email_spam.checking import has_text
    from plugins.email_spam.mailbox import iter_mails

    name = hashlib.sha256(os.fsencode(os.path.abspath(mailbox))).hexdigest()[:24]
    target = Path(results) / f"{name}.jsonl"
    if target.exists():
        with open(target, encoding="utf-8") as file:
            return str(target), sum(1 for _ in file)
    # one core a worker: many small jobs beat one job on many cores
    os.environ.setdefault("FRONTDESK_THREADS", "1")
    checker = load_checker()  # the bundle itself is loaded once a process
    count = 0
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    with open(unfinished, "w", encoding="utf-8") as file:

        def on_error(source: str, error: BadInputError) -> None:
            nonlocal count
            file.write(json.dumps({"source": source, "error": error.message}) + "\n")
            count += 1

        mails = iter_mails(mailbox, None, on_error)
        while batch := list(islice(mails, BATCH)):
            scores = checker.classifier.score_quickly([canonical_text(mail) for _, mail in batch])
            for (source, mail), score in zip(batch, scores, strict=True):
                judged, sender = has_text(mail), mail.sender_address
                verdict = checker.decide(sender, judged, score.probability)
                row = {"source": source, "verdict": verdict, "probability": score.probability}
                file.write(json.dumps(row) + "\n")
            count += len(batch)
    unfinished.rename(target)
    return str(target), count


def judge_all(mailboxes: list[str], results: str, scheduler: str | None) -> Iterator[int]:
    """Judge mailboxes on a Dask cluster, or on processes of this machine."""
    from dask.distributed import Client, as_completed

    client = Client(scheduler) if scheduler else Client(threads_per_worker=1)
    with client:
        futures = client.map(judge_mailbox, mailboxes, results=results, pure=False)
        for future in as_completed(futures):
            yield future.result()[1]


def main() -> None:
    """Judge the mailboxes and count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.many_mails")
    parser.add_argument("results", help="folder of the result files")
    parser.add_argument("mailboxes", nargs="+", metavar="FILE")
    parser.add_argument("--scheduler", help="address of a Dask scheduler")
    options = parser.parse_args()
    Path(options.results).mkdir(parents=True, exist_ok=True)
    total = 0
    for count in judge_all(options.mailboxes, options.results, options.scheduler):
        total += count
        print(f"{total:,} mails judged")


if __name__ == "__main__":
    main()
