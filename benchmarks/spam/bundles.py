"""The same mail through several exports of a classifier: speed, and whether they agree.

    training export runs/spam/checkpoint -o /tmp/int8
    training export runs/spam/checkpoint -o /tmp/float32 --quantization float32
    python -m benchmarks.spam.bundles /tmp/float32 /tmp/int8 [--mailbox FILE] [--mails 120]

The first bundle is the one that the others are compared with. One thread, in turns, so that a
busy machine slows all of them; mails a CPU second are the figure to trust then.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from assistant.bundle import load_bundle
from assistant.engine.classifier import OnnxClassifier
from benchmarks.spam.throughput import sample
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.checking import banded
from plugins.email_spam.head import logit
from plugins.email_spam.reading import read_message


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.bundles")
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--mailbox", action="append", default=[], metavar="FILE")
    parser.add_argument("--mails", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = [canonical_text(read_message(raw)) for raw in sample(options.mailbox, options.mails)]
    classifiers = [OnnxClassifier(load_bundle(path), threads=1) for path in options.bundles]
    scores = [[score.probability for score in c.score(texts)] for c in classifiers]
    seconds: list[list[float]] = [[] for _ in classifiers]
    for _ in range(options.rounds):
        for classifier, taken in zip(classifiers, seconds, strict=True):
            start = time.process_time()
            classifier.score(texts)
            taken.append(time.process_time() - start)
    print(f"{len(texts)} mails, {options.rounds} rounds in turns, one thread\n")
    print("| bundle | mails a CPU second | largest difference, log-odds | other verdicts |")
    print("|---|---|---|---|")
    odds = [np.array([logit(p) for p in found]) for found in scores]
    verdicts = [[banded(p, c) for p in found] for c, found in zip(classifiers, scores, strict=True)]
    for index, path in enumerate(options.bundles):
        rate = len(texts) / statistics.median(seconds[index])
        other = sum(a != b for a, b in zip(verdicts[0], verdicts[index], strict=True))
        difference = np.abs(odds[index] - odds[0]).max()
        print(f"| {path} | {rate:.1f} | {difference:.4f} | {other} |")


if __name__ == "__main__":
    main()
