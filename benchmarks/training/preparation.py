"""How many megabytes of text one core prepares in a second, step by step.

python -m benchmarks.training.preparation [TEXTS...] [--megabytes 20]

Without files: the dialogues and mails of training/datasets, over and over with other numbers in
them, so that few are copies. Times are of this process's own CPU, so other load counts little.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from training.data.broken import Broken
from training.data.near_duplicates import signatures
from training.data.parts import encode_documents
from training.data.prepare import PrepareConfig, prepare
from training.data.rows import document_text
from training.data.sources import documents, find_files
from training.datasets import WRITTEN
from training.datasets.jsonl import find_files as written_files
from training.datasets.jsonl import read_rows
from training.run import Run
from training.tokenizer.train import train_tokenizer


def sample(path: Path, megabytes: float) -> list[str]:
    """Write about so much text, and return some of it for a tokenizer."""
    texts = [document_text(row) for f in written_files([WRITTEN]) for _, row in read_rows(f)]
    size = number = 0
    with path.open("w", encoding="utf-8") as stream:
        while size < megabytes * 1e6:
            words = texts[number % len(texts)].split(" ")
            # another word in each seventh place: not a copy, nor nearly one
            for place in range(number % 7, len(words), 7):
                words[place] = words[(place * 31 + number) % len(words)]
            text = " ".join(words)
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            size, number = size + len(text.encode()), number + 1
    return texts[::5]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", nargs="*", type=Path)
    parser.add_argument("--megabytes", type=float, default=20.0)
    parser.add_argument("--vocabulary", type=int, default=8192)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = options.texts
        if inputs:
            learned = [d.text for d in documents(find_files(inputs)[:1], Broken(100))][:20_000]
        else:
            inputs = [folder / "sample.jsonl"]
            learned = sample(inputs[0], options.megabytes)
        tokenizer = train_tokenizer(learned, options.vocabulary)
        files = find_files(inputs)
        started = time.process_time()
        texts = [document.text for document in documents(files, Broken(100))]
        reading = time.process_time() - started
        size = sum(len(text.encode()) for text in texts) / 1e6
        started = time.process_time()
        encoded = encode_documents(texts, tokenizer)
        encoding = time.process_time() - started
        started = time.process_time()
        for start in range(0, len(encoded), 2000):
            some = encoded[start : start + 2000]
            signatures(np.concatenate(some), np.array([len(ids) for ids in some]))
        signing = time.process_time() - started
        rows = [("reading JSON", reading), ("tokenizing", encoding), ("signatures", signing)]
        for what, near in (("all, exact copies out", 0.0), ("all, near-copies out too", 0.8)):
            config = PrepareConfig(workers=1, near_duplicates=near)
            run = Run.create(folder / what.replace(" ", "-"), "prepare", config)
            started = time.process_time()
            prepare(inputs, tokenizer, config, run)
            rows.append((what, time.process_time() - started))
    print(f"\n{size:.1f} MB of text, {len(texts):,} documents, vocabulary {options.vocabulary:,}\n")
    print("| step | MB/s of text on one core |\n|---|---|")
    for what, seconds in rows:
        print(f"| {what} | {size / seconds:.1f} |")


if __name__ == "__main__":
    main()
