"""The judge of sentences: boosted trees on how a question and a note's sentences match.

Learned from the dialogues with notes of the training split: the sentences an answer was taken from
answer its question, no other does, and none where the answer says that the notes don't tell. The
threshold is set in cross-validation, notes of one organisation in one fold.

Shapes: N sentences of a question's notes, F figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from assistant.handbook.encoder import OnnxTextEncoder
from assistant.handbook.judging import FIGURES, SecondLook
from assistant.handbook.passages import PassageReader, PassageSettings
from assistant.handbook.query import search_text
from assistant.handbook.search import Handbook
from training.datasets.splits import split_unit, unit_interval
from training.evaluation.behaviour import refuses
from training.evaluation.text_metrics import cited
from training.finetuning.conversations import Dialogue
from training.finetuning.passages import without_citations
from training.finetuning.sources import answer_sources, note_sentences
from training.handbook.build import HANDBOOK_FILE, open_handbook, read_facts
from training.handbook.graph import tell_states
from training.handbook.trees import export_trees

JUDGE = "handbook.judge.onnx"
WORDINGS = 3
"""Wordings of a question that are learned from."""
FOLDS = 5
MARGIN, ELSEWHERE, SENTENCES = 3.0, 0.5, 4
"""As in ``PassageSettings``, in log-odds; whatever is within the margin is read."""
WRONG = 10 / 15
"""Share of answerable questions that are refused, to that of unanswerable ones that are not: as is
wanted of answers about notes, at most 10% of the ones and 15% of the others."""


@dataclass(frozen=True)
class JudgedQuestion:
    """A question about notes: figures of the sentences that are near, and what is known of them.

    Attributes:
        unit: what is split as one.
        right_N: whether each sentence answers.
        answerable: whether the notes answer at all.
        nearly: they don't, but the answer cites what comes close.
        first: whether it is the wording that was answered, not another one.
    """

    unit: str
    figures_NF: NDArray[np.float32]
    right_N: NDArray[np.bool_]
    answerable: bool
    nearly: bool
    first: bool


def judged_questions(
    dialogues: Sequence[Dialogue], reader: PassageReader, wordings: int = WORDINGS
) -> list[JudgedQuestion]:
    """Return the questions of dialogues with notes, each in some wordings.

    Answers that cite nothing right are left out: nothing is known of their sentences.
    """
    found = []
    for dialogue in (dialogue for dialogue in dialogues if dialogue.notes):
        parts = note_sentences(dialogue.notes)
        spoken = [message for message in dialogue.messages if message.role != "system"]
        asked: list[str] = []
        for question, answer in zip(spoken[::2], spoken[1::2], strict=False):
            asked.append(question.content)
            refused = not cited(answer.content) or refuses(without_citations(answer.content))
            sources = [] if refused else answer_sources(answer.content, parts)
            right = {(parts[place][0], parts[place][2]) for place in sources}
            if not refused and not right:
                continue
            others = dialogue.asks if len(asked) == 1 else ()
            for number, wording in enumerate([[*asked], *([text] for text in others)][:wordings]):
                runs = reader.near_runs(wording, dialogue.notes)
                assert reader.look is not None
                texts = [(run.note, text) for run in runs for text in run.texts]
                found.append(
                    JudgedQuestion(
                        split_unit(dialogue.key),
                        reader.look.figures(search_text(wording), runs),
                        np.array([text in right for text in texts], np.bool_),
                        not refused,
                        refused and bool(answer_sources(answer.content, parts)),
                        number == 0,
                    )
                )
    return found


def fit_trees(questions: Sequence[JudgedQuestion], seed: int = 0) -> GradientBoostingClassifier:
    """Fit the trees to the sentences of all questions.

    Raises:
        ValueError: too few questions.
    """
    if not questions or len({bool(r) for q in questions for r in q.right_N}) < 2:
        raise ValueError("no dialogue with notes to learn from; are all files there?")
    trees = GradientBoostingClassifier(
        n_estimators=100,
        learning_rate=0.08,
        max_depth=4,
        subsample=0.5,
        min_samples_leaf=30,
        max_features=5,
        random_state=seed,
    )
    figures = np.concatenate([question.figures_NF for question in questions])
    return trees.fit(figures, np.concatenate([question.right_N for question in questions]))


def cross_validated(
    questions: Sequence[JudgedQuestion], seed: int = 0
) -> list[NDArray[np.float64]]:
    """Return each question's log-odds [N] by trees that have not seen its organisation."""
    folds = [int(unit_interval(f"fold:{question.unit}") * FOLDS) for question in questions]
    scores: list[NDArray[np.float64]] = [np.zeros(0)] * len(questions)
    for fold in sorted(set(folds)):
        others = [q for q, own in zip(questions, folds, strict=True) if own != fold]
        trees = fit_trees(others, seed)
        for place, question in enumerate(questions):
            if folds[place] == fold:
                scores[place] = trees.decision_function(question.figures_NF)
    return scores


def nearness(questions: Sequence[JudgedQuestion]) -> list[NDArray[np.float64]]:
    """Return each question's cosines [N]: what is judged by without trees."""
    place = FIGURES.index("nearness")
    return [question.figures_NF[:, place].astype(np.float64) for question in questions]


def balanced_threshold(
    questions: Sequence[JudgedQuestion], scores: Sequence[NDArray[np.float64]]
) -> float:
    """Return the threshold at which answerable questions are refused ``WRONG`` times as often as
    unanswerable ones are answered; those that the notes nearly answer don't count."""
    counted = [
        (question.answerable, float(score.max()))
        for question, score in zip(questions, scores, strict=True)
        if question.first and not question.nearly and len(score)
    ]
    yes = np.array([best for answerable, best in counted if answerable])
    no = np.array([best for answerable, best in counted if not answerable])
    if not len(yes) or not len(no):
        raise ValueError("a threshold needs questions that notes answer and such that they don't")
    tried = np.unique(np.concatenate([yes, no]))
    apart = [abs(float((yes < t).mean()) - WRONG * float((no >= t).mean())) for t in tried]
    return float(tried[int(np.argmin(apart))])


def measure(
    questions: Sequence[JudgedQuestion], scores: Sequence[NDArray[np.float64]], threshold: float
) -> dict[str, float]:
    """Return figures over questions in their first wording, rates in [0, 1].

    ``auc``: answerable told from unanswerable by the best sentence; ``right_first``: a right
    sentence is the best; ``refused``, ``refused_nearly``, ``refused_wrongly``: by the threshold.
    """
    first = [(q, s) for q, s in zip(questions, scores, strict=True) if q.first and len(s)]
    best = np.array([score.max() for _, score in first])
    kinds = np.array([0 if q.answerable else 2 if q.nearly else 1 for q, _ in first])
    figures = {
        name: float((kinds == kind).sum())
        for kind, name in enumerate(("answerable", "unanswerable", "nearly_answerable"))
    }
    if all(figures.values()):
        hits = [bool(q.right_N[int(s.argmax())]) for q, s in first if q.answerable]
        figures |= {
            "auc": float(roc_auc_score(kinds == 0, best)),
            "right_first": float(np.mean(hits)),
            "refused": float((best[kinds == 1] < threshold).mean()),
            "refused_nearly": float((best[kinds == 2] < threshold).mean()),
            "refused_wrongly": float((best[kinds == 0] < threshold).mean()),
        }
    return figures


def judge_settings(threshold: float) -> PassageSettings:
    """Return what decides in log-odds which sentences are read."""
    return PassageSettings(threshold, MARGIN, ELSEWHERE, SENTENCES, further=threshold - MARGIN)


def add_judge(
    folder: Path, dialogues: Sequence[Dialogue], provenance: dict[str, Any], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Fit a judge to the training split and put it into a handbook's folder.

    Returns ``measure`` by cross-validation and on the held-out splits together, each by nearness
    alone (at the threshold that goes with it) and with the judge.

    Raises:
        ValueError: no handbook, or too few dialogues.
        ModelError: the handbook is damaged.
    """
    facts = read_facts(folder)
    files = {name: file for name, file in facts["files"].items() if name != "judge"}
    facts = {**facts, "files": files}
    facts.pop("passages", None)
    tell_states(folder / files["graph"])
    encoder = Handbook.load(folder, facts).encoder
    assert isinstance(encoder, OnnxTextEncoder)
    reader = PassageReader(encoder.encode, PassageSettings(), None, SecondLook(encoder, None))
    train = judged_questions([d for d in dialogues if d.split == "train"], reader)
    held = judged_questions([d for d in dialogues if d.split != "train"], reader)
    scores = cross_validated(train, seed)
    threshold = balanced_threshold(train, scores)
    trees = fit_trees(train, seed)
    export_trees(trees, folder / JUDGE)
    bare = PassageSettings().threshold
    report = {
        "cross-validation, nearness": measure(train, nearness(train), bare),
        "cross-validation, judge": measure(train, scores, threshold),
        "held out, nearness": measure(held, nearness(held), bare),
        "held out, judge": measure(
            held, [trees.decision_function(q.figures_NF) for q in held], threshold
        ),
    }
    facts["files"]["judge"] = JUDGE
    facts["passages"] = asdict(judge_settings(threshold))
    facts["provenance"] = {**facts.get("provenance", {}), "judge": {**provenance, "seed": seed}}
    (folder / HANDBOOK_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    open_handbook(folder)
    return report
