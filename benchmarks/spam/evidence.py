"""How long a check of one mail takes, with and without its reasons.

    python -m benchmarks.spam.evidence [MAILBOX...] [--mails 40]

MAILBOX as for ``benchmarks.spam.throughput``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.spam.throughput import sample
from plugins.email_spam.checking import check
from plugins.email_spam.personal import base_classifier
from plugins.email_spam.reading import read_message


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.evidence")
    parser.add_argument("mailboxes", nargs="*", metavar="MAILBOX")
    parser.add_argument("--mails", type=int, default=40)
    options = parser.parse_args()
    mails = [read_message(raw, "mail") for raw in sample(options.mailboxes, options.mails)]
    classifier = base_classifier()
    check(mails[0], classifier)
    plain, explained = [], []
    for mail in mails:
        for seconds, explain in ((plain, False), (explained, True)):
            start = time.perf_counter()
            check(mail, classifier, explain)
            seconds.append(time.perf_counter() - start)
    print(f"{len(mails)} mails, seconds each\n")
    print("| what | median | slowest tenth above | slowest |\n|---|---|---|---|")
    reasons = np.subtract(explained, plain)
    rows = (("the verdict", plain), ("its reasons", reasons), ("both", explained))
    for name, seconds in rows:
        figures = (np.median(seconds), np.quantile(seconds, 0.9), np.max(seconds))
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")


if __name__ == "__main__":
    main()
