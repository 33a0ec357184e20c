"""A blind comparison of two chat bundles: ours and the one a user would otherwise take.

    python -m benchmarks.chat_peer answer OURS PEER --prompts FILE... --output FOLDER
    (judge FOLDER/pairs.md: write FOLDER/verdicts.txt, one "ID A", "ID B" or "ID tie" a line)
    python -m benchmarks.chat_peer score FOLDER

Both answer the same prompts with their own system prompt and defaults, greedily. Which side
stands left is drawn by a seed and kept apart, in sides.json, so that the judge can't know.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path

from assistant.engine.chat_model import load_chat_model
from assistant.text import sanitize
from training.evaluation.chat import Answerer, model_answerer
from training.evaluation.prompts import Prompt, load_prompts


def answer(
    ours: str, peer: str, prompts: list[Prompt], folder: Path, seed: int, max_tokens: int
) -> None:
    """Write pairs.md for the judge, and sides.json."""
    folder.mkdir(parents=True, exist_ok=True)
    said: dict[str, list[str]] = {"ours": [], "peer": []}
    for side, name in (("ours", ours), ("peer", peer)):
        model = load_chat_model(name)
        answerer: Answerer = model_answerer(model, max_tokens)
        for prompt in prompts:
            found = answerer(prompt.asked(model.system_prompt))
            said[side].append(found.text if found else "(too long for the model)")
    draw = random.Random(seed)  # noqa: S311
    sides: dict[str, list[str]] = {}
    lines: list[str] = []
    for number, prompt in enumerate(prompts):
        order = draw.choice([["ours", "peer"], ["peer", "ours"]])
        sides[prompt.key] = order
        lines += [f"## {prompt.key}", ""]
        lines += [f"{m.role}: {sanitize(m.content)}" for m in prompt.asked("")] + [""]
        for letter, side in zip("AB", order, strict=True):
            lines += [f"### {letter}", "", sanitize(said[side][number]), ""]
    (folder / "pairs.md").write_text("\n".join(lines), encoding="utf-8")
    (folder / "sides.json").write_text(json.dumps(sides, indent=1), encoding="utf-8")


def score(folder: Path) -> None:
    """Print who won how often, by verdicts.txt."""
    sides = json.loads((folder / "sides.json").read_text(encoding="utf-8"))
    counts: Counter[str] = Counter()
    for number, line in enumerate((folder / "verdicts.txt").read_text().splitlines(), start=1):
        if not line.strip():
            continue
        key, _, verdict = line.strip().partition(" ")
        if key not in sides or verdict not in ("A", "B", "tie"):
            raise SystemExit(f"verdicts.txt:{number}: expected an id and A, B or tie: {line!r}")
        counts["tie" if verdict == "tie" else sides[key]["AB".index(verdict)]] += 1
    total = sum(counts.values())
    print(f"pairs: {total}")
    for name in ("ours", "peer", "tie"):
        print(f"{name}: {counts[name]} ({counts[name] / max(1, total):.1%})")
    decided = counts["ours"] + counts["peer"]
    print(f"ours among decided: {counts['ours'] / max(1, decided):.1%}")


def main() -> None:
    """Answer or score."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    answering = commands.add_parser("answer")
    answering.add_argument("ours")
    answering.add_argument("peer")
    answering.add_argument("--prompts", type=Path, nargs="+", required=True)
    answering.add_argument("--output", type=Path, required=True)
    answering.add_argument("--count", type=int, default=120)
    answering.add_argument("--seed", type=int, default=1)
    answering.add_argument("--max-tokens", type=int, default=250)
    scoring = commands.add_parser("score")
    scoring.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.command == "score":
        score(given.folder)
        return
    prompts = load_prompts(given.prompts)
    random.Random(given.seed).shuffle(prompts)  # noqa: S311
    answer(
        given.ours, given.peer, prompts[: given.count], given.output, given.seed, given.max_tokens
    )


if __name__ == "__main__":
    main()
