"""What a scan's quick reading costs in verdicts and saves in tokens, beside full reading.

    python -m benchmarks.spam.quick ROWS.jsonl[.xz]... [--mails 400] [--padded 60]

ROWS as the classifier is trained on; of each source and label as many mails, of the parts that
nobody trained on (validation and test; ``training finetune`` splits by the row's id). Padding is
good text of the same mails: whoever sends spam hopes that the filter reads nothing else.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence

import numpy as np

from assistant.plugin_api import Score
from plugins.email_spam.personal import base_classifier
from plugins.email_spam.tuning import roc_auc
from training.finetuning.augmentation import diluted
from training.finetuning.labelled_text import LabelledText, TextData, load_texts

BATCH = 64
NORMALIZER = "plugins.email_spam.canonical:canonical_row"
PADDING = ((300, 0), (0, 700), (700, 700), (2000, 2000))  # characters in front, behind


def held_out(files: Sequence[str], count: int) -> list[LabelledText]:
    """Return up to ``count`` texts, as many of each source and label as there are."""
    texts = [
        t for t in load_texts(TextData(tuple(files), normalizer=NORMALIZER)) if t.split != "train"
    ]
    groups: dict[tuple[str, int], list[LabelledText]] = {}
    for text in random.Random(0).sample(texts, len(texts)):  # noqa: S311
        groups.setdefault((text.source, text.label), []).append(text)
    share = -(-count // len(groups))
    return [text for group in groups.values() for text in group[:share]]


def padded(spam: Sequence[str], good: Sequence[str], front: int, behind: int) -> Iterator[str]:
    """Yield spam with so many characters of good bodies before and behind its own."""
    draw = random.Random(0)  # noqa: S311
    bodies = [text.partition("\n\n")[2] for text in good]

    def passage(length: int) -> str:
        body = draw.choice([body for body in bodies if len(body) >= length])
        start = draw.randint(0, len(body) - length)
        return body[start : start + length]

    for text in spam:
        ahead = diluted(text, passage(front), in_front=True) if front else text
        yield diluted(ahead, passage(behind), in_front=False) if behind else ahead


def both(texts: Sequence[str]) -> tuple[list[Score], list[Score]]:
    """Score texts by full and by quick reading, in batches as a scan does."""
    classifier = base_classifier()
    full: list[Score] = []
    quick: list[Score] = []
    for start in range(0, len(texts), BATCH):
        full += classifier.score(texts[start : start + BATCH])
        quick += classifier.score_quickly(texts[start : start + BATCH])
    return full, quick


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spam.quick")
    parser.add_argument("rows", nargs="+", metavar="ROWS")
    parser.add_argument("--mails", type=int, default=400)
    parser.add_argument("--padded", type=int, default=60)
    options = parser.parse_args()
    classifier = base_classifier()
    low, high = classifier.unsure[0], classifier.threshold
    texts = held_out(options.rows, options.mails)
    spam = np.array([text.label == 1 for text in texts])
    scores = both([text.text for text in texts])
    p, tokens = (np.array([[getattr(s, name) for s in some] for some in scores])
                 for name in ("probability", "tokens"))  # fmt: skip
    verdict = (p >= high).astype(int) + (p >= low)
    other = int((verdict[0] != verdict[1]).sum())
    print(f"{len(texts)} mails, {spam.sum()} spam; {other} other verdicts\n")
    print("| reading | tokens a mail | ROC AUC | spam found | good mail flagged |")
    print("|---|---|---|---|---|")
    for name, own, read, found in zip(("full", "quick"), p, tokens, verdict, strict=True):
        caught, flagged = (found[spam] == 2).mean(), (found[~spam] == 2).mean()
        auc = roc_auc(spam, own)
        print(f"| {name} | {read.mean():.0f} | {auc:.4f} | {caught:.1%} | {flagged:.1%} |")
    chosen = [text.text for text in texts if text.label == 1][: options.padded]
    good = [text.text for text in texts if text.label == 0]
    print(f"\n{len(chosen)} spam, padded with good text: found; at least unsure\n")
    print("| characters in front, behind | full | quick |\n|---|---|---|")
    for front, behind in PADDING:
        cells = []
        for some in both(list(padded(chosen, good, front, behind))):
            own = np.array([score.probability for score in some])
            cells.append(f"{(own >= high).sum()}; {(own >= low).sum()}")
        print(f"| {front:,}, {behind:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
