"""How well the handbook finds: its encoder beside BM25, and what tells a question it covers.

    python -m benchmarks.handbook runs/handbook

Only items of the validation and test splits are asked for; none of them stands in the handbook.
Their own phrasings are put beside it where an item must be found again.
"""

from __future__ import annotations

import random
import string
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from assistant.handbook.entries import phrasings
from assistant.handbook.query import search_text
from assistant.handbook.search import Handbook
from training.datasets.jsonl import read_rows
from training.finetuning.conversations import Dialogue, DialogueData, load_dialogues
from training.handbook.build import open_handbook

PROMPTS = Path(__file__).parents[1] / "training" / "evaluation" / "chat_prompts.jsonl"
OFF_TOPIC = """
what is the capital of mongolia
who painted the night watch
explain the french revolution in one paragraph
how far is the moon
why do cats purr
tell me a joke about a penguin
is there life on mars
what should i cook with leeks and potatoes
recommend a novel set in lisbon
which team won the world cup in 1998
how do vaccines work
what does ephemeral mean
write a limerick about rain
my knee hurts when i run, what is it
how do i train for a marathon
when do tulips bloom
how many bones does a horse have
what rhymes with orange
do fish sleep
summarise hamlet
how do i get red wine out of a carpet
how long do i boil an egg
which tree grows fastest
what is the meaning of life
solve 3x + 7 = 22
how do i tie a bow tie
what is the difference between baroque and rococo
who invented the telescope
how do bees make honey
teach me ten words of finnish
why is the sea salty
how old is the universe
should i adopt a dog or a cat
how do i prune roses
what happened in 1648
how is steel made
i had a strange dream about whales
my neighbour sings at night
how do i learn to juggle
what is a fugue
""".strip().splitlines()

Rank = Callable[[str, int], NDArray[np.float32]]
"""A query and the place of a phrasing to leave out (or -1) to each phrasing's score."""


class Bm25:
    """Okapi BM25 (https://doi.org/10.1561/1500000019), k1 1.5 and b 0.75, on lower-case words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.words = CountVectorizer(token_pattern=r"(?u)\b\w+\b")  # noqa: S106
        counts = self.words.fit_transform(texts).tocsr().astype(np.float32)
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        containing = np.bincount(counts.indices, minlength=counts.shape[1])
        idf = np.log(1 + (len(texts) - containing + 0.5) / (containing + 0.5))
        rows = np.repeat(np.arange(len(texts)), np.diff(counts.indptr))
        norm = 1.5 * (0.25 + 0.75 * lengths / lengths.mean())
        counts.data = counts.data * 2.5 / (counts.data + norm[rows]) * idf[counts.indices]
        self.weights = counts

    def __call__(self, text: str, leave_out: int) -> NDArray[np.float32]:
        """Score all texts."""
        asked = self.words.transform([text])
        asked.data[:] = 1
        scores = np.asarray((self.weights @ asked.T).todense(), np.float32).ravel()
        if leave_out >= 0:
            scores[leave_out] = -np.inf
        return scores


class Vectors:
    """The handbook's encoder."""

    def __init__(self, handbook: Handbook, more: Sequence[str]) -> None:
        self.handbook = handbook
        self.known: dict[str, NDArray[np.float32]] = {}
        self.seconds: list[float] = []
        extra = [self.encode(text) for text in more]
        self.vectors = np.concatenate([handbook.vectors_PE, np.stack(extra)])

    def encode(self, text: str) -> NDArray[np.float32]:
        """Encode a text once."""
        if text not in self.known:
            started = time.perf_counter()
            vector = self.handbook.encoder.encode(text)
            self.handbook.scores(vector)
            self.seconds.append(time.perf_counter() - started)
            self.known[text] = vector
        return self.known[text]

    def __call__(self, text: str, leave_out: int) -> NDArray[np.float32]:
        """Score all texts."""
        scores = self.vectors @ self.encode(text)
        if leave_out >= 0:
            scores[leave_out] = -np.inf
        return scores


def best_items(scores: NDArray[np.float32], owners: Sequence[str], count: int) -> list[str]:
    """Return the first ``count`` different owners, best first."""
    found: list[str] = []
    for place in np.argsort(-scores)[:50]:
        if owners[place] not in found:
            found.append(owners[place])
    return found[:count]


def found_again(rank: Rank, held_out: list[Dialogue], first: int, owners: list[str]) -> list[float]:
    """Return hit@1 and hit@2 of a held-out item by one of its wordings, the others in reach."""
    hits = np.zeros(2)
    total = 0
    place = first
    for dialogue in held_out:
        for text in (dialogue.messages[0].content, *dialogue.asks):
            if dialogue.asks:
                names = best_items(rank(text, place), owners, 2)
                hits += [names[0] == dialogue.key, dialogue.key in names]
                total += 1
            place += 1
    return [*(hits / total), total]


def same_area(rank: Rank, held_out: list[Dialogue], areas: list[str], inside: int) -> list[float]:
    """Return how often the best, or one of the best two, entries are of a question's file.

    Every turn is asked for, as the product would.
    """
    hits = np.zeros(2)
    total = 0
    for dialogue in held_out:
        questions: list[str] = []
        for message in dialogue.messages:
            if message.role != "user":
                continue
            questions.append(message.content)
            scores = rank(search_text(questions), -1)[:inside]
            found = [areas[place] for place in np.argsort(-scores)[:2]]
            same = [area == dialogue.source for area in found]
            hits += [same[0], any(same)]
            total += 1
    return [*(hits / total), total]


def gibberish(count: int) -> list[str]:
    """Return random letters in words, the same ones each time."""
    draw = random.Random(1)  # noqa: S311
    letters = string.ascii_lowercase + "    "
    return ["".join(draw.choices(letters, k=draw.randint(6, 40))) for _ in range(count)]


def main(folder: str) -> None:
    """Print the tables."""
    handbook = open_handbook(Path(folder))
    dialogues = [d for d in load_dialogues(DialogueData()) if not d.notes]
    held_out = [d for d in dialogues if d.split != "train"]
    owners = [e.id for e in handbook.entries for _ in phrasings(e)]
    areas = [e.id.partition("-")[0] for e in handbook.entries for _ in phrasings(e)]
    texts = [text for e in handbook.entries for text in phrasings(e)]
    inside = len(texts)
    more = [text for d in held_out for text in (d.messages[0].content, *d.asks)]
    owners += [d.key for d in held_out for _ in (d.messages[0].content, *d.asks)]
    vectors = Vectors(handbook, more)
    ranks: dict[str, Rank] = {"encoder": vectors, "BM25": Bm25([*texts, *more])}
    print(f"{len(handbook.entries)} entries, {inside} phrasings; {len(held_out)} items held out\n")
    print("| what | finder | hit@1 | hit@2 | queries |\n|---|---|---|---|---|")
    for name, rank in ranks.items():
        one, two, total = found_again(rank, held_out, inside, owners)
        print(f"| another wording finds its item | {name} | {one:.3f} | {two:.3f} | {total:.0f} |")
    for name, rank in ranks.items():
        one, two, total = same_area(rank, held_out, areas, inside)
        print(f"| an entry of the same file | {name} | {one:.3f} | {two:.3f} | {total:.0f} |")

    def top(questions: Sequence[str]) -> NDArray[np.float32]:
        return np.array([vectors(text, -1)[:inside].max() for text in questions])

    prompts = [[m["content"] for m in row["messages"]][:1] for _, row in read_rows(PROMPTS)]
    groups = {
        "rewordings of held-out items, item in reach": np.array(
            [vectors(text, inside + n).max() for n, text in enumerate(more)]
        ),
        "held-out questions, item not in the handbook": top(
            [d.messages[0].content for d in held_out]
        ),
        "prompts for evaluation": top([questions[0] for questions in prompts]),
        "off topic": top(OFF_TOPIC),
        "gibberish": top(gibberish(40)),
    }
    levels = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
    print("\n| best score at least |", " | ".join(f"{level:.2f}" for level in levels), "|")
    print("|---|" + "---|" * len(levels))
    for name, best in groups.items():
        print(f"| {name} |", " | ".join(f"{(best >= level).mean():.2f}" for level in levels), "|")
    milliseconds = 1000 * np.array(vectors.seconds)
    print(
        f"\nsearch: median {np.median(milliseconds):.1f} ms, "
        f"95% within {np.percentile(milliseconds, 95):.1f} ms"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/handbook")
