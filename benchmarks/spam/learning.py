"""What marking one's own mail brings: a head fitted on some of a stream, measured on the rest.

    python -m benchmarks.spam.learning STREAM.jsonl[.xz] [--each 400] [--rest 500]

STREAM holds rows as the classifier is trained on: ``{"text": "From: ...", "label": "spam"}``. The
first ``--each`` of either label are marked, the next ``--rest`` of either are judged by the model
alone and with the head. Take a stream that the model was not trained on: on its own training mail
the model alone is as good as it gets.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterator

import numpy as np

from plugins.email_spam.canonical import canonical_row
from plugins.email_spam.head import logit
from plugins.email_spam.personal import base_classifier
from plugins.email_spam.tuning import Marks, roc_auc, tune

BATCH = 64


def rows(path: str) -> Iterator[tuple[bool, str]]:
    """Yield whether a row is spam, and what the model reads of it."""
    opener = lzma.open if path.endswith(".xz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["label"] == "spam", canonical_row(row)


def embedded(chosen: list[tuple[bool, str]]) -> Marks:
    """Return the mails as the store keeps marks."""
    classifier = base_classifier()
    vectors, log_odds = [], []
    for start in range(0, len(chosen), BATCH):
        for score in classifier.embed([text for _, text in chosen[start : start + BATCH]]):
            vectors.append(score.embedding)
            log_odds.append(logit(score.probability))
    spam = np.array([is_spam for is_spam, _ in chosen])
    return Marks(np.array(vectors, np.float32), np.array(log_odds), spam)


def main() -> None:
    """Mark, tune, and judge the rest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.learning")
    parser.add_argument("stream")
    parser.add_argument("--each", type=int, default=400)
    parser.add_argument("--rest", type=int, default=500)
    options = parser.parse_args()
    marked: dict[bool, list[tuple[bool, str]]] = {True: [], False: []}
    rest: dict[bool, list[tuple[bool, str]]] = {True: [], False: []}
    for is_spam, text in rows(options.stream):
        if len(marked[is_spam]) < options.each:
            marked[is_spam].append((is_spam, text))
        elif len(rest[is_spam]) < options.rest:
            rest[is_spam].append((is_spam, text))
        elif len(rest[not is_spam]) == options.rest:
            break
    classifier = base_classifier()
    found = tune(embedded(marked[True] + marked[False]), classifier.revision, (0.5,))
    unseen = embedded(rest[True] + rest[False])
    after = found.head.log_odds(unseen.embedding_ND, unseen.model_N)
    spam = unseen.spam_N
    print(f"{classifier.name} {classifier.revision}, {options.stream}")
    print(f"marked {len(marked[True])} + {len(marked[False])}, judged {len(unseen)} others\n")
    print("| | AUC | spam found at 1% of good mail caught |\n|---|---|---|")
    for name, score in (("the model alone", unseen.model_N), ("with the head", after)):
        limit = np.quantile(score[~spam], 0.99)
        print(f"| {name} | {roc_auc(spam, score):.4f} | {np.mean(score[spam] > limit):.1%} |")


if __name__ == "__main__":
    main()
