"""How long a check of one mail takes, with and without its reasons.

    python -m benchmarks.spam.evidence [MAILBOX...] [--mails 40]

MAILBOX as for ``benchmarks.spam.throughput``. Tokens do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from assistant.plugin_api import EmbeddingClassifier, Score
from benchmarks.spam.throughput import sample
from plugins.email_spam.checking import check
from plugins.email_spam.personal import base_classifier
from plugins.email_spam.reading import read_message


class _Counting:
    """A classifier that counts the tokens it reads."""

    def __init__(self, base: EmbeddingClassifier) -> None:
        self._base, self.tokens = base, 0
        self.name, self.threshold, self.unsure = base.name, base.threshold, base.unsure

    def score(self, texts: Sequence[str]) -> list[Score]:
        scores = self._base.score(texts)
        self.tokens += sum(score.tokens for score in scores)
        return scores


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.evidence")
    parser.add_argument("mailboxes", nargs="*", metavar="MAILBOX")
    parser.add_argument("--mails", type=int, default=40)
    options = parser.parse_args()
    mails = [read_message(raw, "mail") for raw in sample(options.mailboxes, options.mails)]
    check(mails[0], base_classifier())
    plain, explained = [], []
    for mail in mails:
        for measured, explain in ((plain, False), (explained, True)):
            classifier = _Counting(base_classifier())
            start = time.perf_counter()
            check(mail, classifier, explain)
            measured.append((time.perf_counter() - start, classifier.tokens))
    print(f"{len(mails)} mails: seconds; tokens\n")
    print("| what | median | slowest tenth above | slowest |\n|---|---|---|---|")
    reasons = np.subtract(explained, plain)
    rows = (("the verdict", plain), ("its reasons", reasons), ("both", explained))
    for name, measured in rows:
        cells = []
        for share in (0.5, 0.9, 1):
            seconds, tokens = np.quantile(measured, share, axis=0)
            cells.append(f"{seconds:.2f}; {tokens:,.0f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
