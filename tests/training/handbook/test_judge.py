"""The judge of sentences: learned from dialogues, exported, put into a handbook and a bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from assistant.bundle import damaged_files
from assistant.conversation import Message, Note
from assistant.engine.chat_model import OnnxChatModel
from assistant.errors import ModelError
from assistant.handbook.encoder import OnnxTextEncoder, text_ids
from assistant.handbook.judging import FIGURES, SecondLook, SentenceJudge
from assistant.handbook.passages import PassageReader, PassageSettings
from assistant.handbook.search import Handbook, HandbookSettings
from tests.support.encoder import tiny_encoder
from tests.support.handbook import ENTRIES
from tests.support.tiny import tiny_chat
from training.encoder import Encoder
from training.exporting.export import export_bundle
from training.finetuning.conversations import Dialogue
from training.handbook.attach import attach_handbook
from training.handbook.build import build_handbook, open_handbook, read_facts
from training.handbook.command import command
from training.handbook.graph import build_text_encoder_graph, tell_states
from training.handbook.judge import (
    JudgedQuestion,
    add_judge,
    balanced_threshold,
    judged_questions,
    measure,
)
from training.handbook.trees import export_trees

NOTES = (
    Note("Bin", "Files stay for 30 days. Restore with a right click."),
    Note("Plans", "The small plan costs €3 a month. The large plan costs €9 a month."),
)


def _dialogue(number: int) -> Dialogue:
    return Dialogue(
        f"gro-{number:04d}",
        "gro",
        (
            Message("user", "how long are files there"),
            Message("assistant", "30 days [1]."),
            Message("user", "and what costs the large plan"),
            Message("assistant", "The large plan costs €9 a month [2]."),
            Message("user", "who is the boss"),
            Message("assistant", "The notes don't say."),
            Message("user", "what costs the huge plan"),
            Message("assistant", "The notes don't say. They give €9 for the large one [2]."),
        ),
        asks=("files gone when", "days of files", "bin"),
        notes=NOTES,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A handbook of the tiny entries."""
    build_handbook(tiny_encoder(), ENTRIES, tmp_path / "handbook", HandbookSettings(0.2, 0.3, 2))
    return tmp_path / "handbook"


def test_the_graph_of_trees_says_what_the_trees_say(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, len(FIGURES))).astype(np.float32)
    y = x[:, 0] * x[:, 1] + draw.normal(size=400) * 0.2 > 0.4
    trees = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=0).fit(x, y)
    export_trees(trees, tmp_path / "judge.onnx")
    judge = SentenceJudge(tmp_path / "judge.onnx")
    fresh = draw.normal(size=(200, len(FIGURES))).astype(np.float32)
    np.testing.assert_allclose(judge.log_odds(fresh), trees.decision_function(fresh), atol=1e-4)
    assert len(judge.log_odds(fresh[:0])) == 0
    export_trees(trees.fit(x[:, :4], y), tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="weighs 4 figures"):
        SentenceJudge(tmp_path / "other.onnx")


def test_an_older_encoder_learns_to_tell_states(tmp_path: Path) -> None:
    checkpoint = tiny_encoder()
    encoder = checkpoint.transformer
    assert isinstance(encoder, Encoder)
    path = tmp_path / "g.onnx"
    build_text_encoder_graph(encoder, "float32", path, 40)
    built = path.read_bytes()
    tell_states(path)
    assert path.read_bytes() == built
    model = onnx.load(path, load_external_data=False)
    del model.graph.output[[output.name for output in model.graph.output].index("states")]
    (identity,) = (node for node in model.graph.node if "states" in node.output)
    for node in model.graph.node:
        node.input[:] = [identity.input[0] if name == "states" else name for name in node.input]
    model.graph.node.remove(identity)
    path.write_bytes(model.SerializeToString())
    assert not OnnxTextEncoder(path, checkpoint.tokenizer, 40).reads_tokens
    tell_states(path)
    reading = OnnxTextEncoder(path, checkpoint.tokenizer, 40).read("how do i reset it?")
    ids = torch.tensor([text_ids(checkpoint.tokenizer, "how do i reset it?", 40)])
    assert reading.ids == tuple(ids[0].tolist())
    with torch.no_grad():
        states = encoder.hidden(ids, torch.tensor([ids.shape[1]]))[0]
    np.testing.assert_allclose(reading.states, states.numpy(), atol=1e-4)
    model.graph.node[-1].output[0] = "other"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="no encoder of a handbook"):
        tell_states(path)


def _reader(folder: Path) -> PassageReader:
    encoder = open_handbook(folder).encoder
    assert isinstance(encoder, OnnxTextEncoder)
    return PassageReader(encoder.encode, PassageSettings(), None, SecondLook(encoder, None))


def test_what_an_answer_was_taken_from_is_right(folder: Path) -> None:
    reader = _reader(folder)
    found = judged_questions([_dialogue(1), Dialogue("a", "a", _dialogue(1).messages)], reader)
    assert [(q.answerable, q.nearly, q.first, int(q.right_N.sum())) for q in found] == [
        (True, False, True, 1),
        (True, False, False, 1),
        (True, False, False, 1),
        (True, False, True, 1),
        (False, False, True, 0),
        (False, True, True, 0),
    ]
    assert {question.figures_NF.shape for question in found} == {(4, len(FIGURES))}
    assert found[0].unit == "gro-block-0000"


def _question(answerable: bool, nearly: bool = False) -> JudgedQuestion:
    return JudgedQuestion(
        "u",
        np.zeros((1, len(FIGURES)), np.float32),
        np.array([answerable]),
        answerable,
        nearly,
        True,
    )


def _scores(values: Sequence[float]) -> list[NDArray[np.float64]]:
    return [np.array([value]) for value in values]


def test_the_threshold_balances_both_errors_two_to_three() -> None:
    draw = np.random.default_rng(0)
    yes, no = draw.normal(1, 1, 4000), draw.normal(-1, 1, 2000)
    questions = [_question(True)] * 4000 + [_question(False)] * 2000 + [_question(False, True)]
    scores = _scores([*yes, *no, 9.0])
    threshold = balanced_threshold(questions, scores)
    figures = measure(questions, scores, threshold)
    assert figures["refused_wrongly"] == pytest.approx(2 / 3 * (1 - figures["refused"]), abs=0.01)
    assert figures["refused_nearly"] == 0
    assert figures["auc"] == pytest.approx(0.921, abs=0.01)  # normal(2 / sqrt(2))
    assert figures["nearly_answerable"] == 1
    with pytest.raises(ValueError, match="a threshold needs"):
        balanced_threshold([_question(True)], _scores([1.0]))


def test_a_handbook_with_a_judge_goes_into_a_bundle(folder: Path, tmp_path: Path) -> None:
    dialogues = [_dialogue(5 * number + 1) for number in range(12)]
    add_judge(folder, dialogues, {"commit": "c"})
    report = add_judge(folder, dialogues, {"commit": "c"})  # again, in place of the first
    assert report["cross-validation, judge"]["answerable"] > 10
    facts = read_facts(folder)
    assert facts["provenance"]["judge"] == {"commit": "c", "seed": 0}
    assert {path.name for path in folder.iterdir()} == {
        *facts["files"].values(),
        *facts["data"],
        "handbook.json",
    }
    handbook = Handbook.load(folder, facts)
    assert handbook.reader.settings.sentences == 4
    scored = handbook.reader.scored(["how long are files there"], NOTES)
    assert max(scored, key=lambda each: each.score).text == "Files stay for 30 days."
    export_bundle(tiny_chat(context_length=512), tmp_path / "chat", "chat")
    bundle = attach_handbook(folder, tmp_path / "chat")
    assert damaged_files(bundle) == []
    model = OnnxChatModel(bundle, threads=1)
    found = model.find_passages(["how long are files there"], NOTES)
    assert found == handbook.reader.find(["how long are files there"], NOTES)


def test_a_judge_needs_an_encoder_that_tells_states(folder: Path) -> None:
    add_judge(folder, [_dialogue(5 * number + 1) for number in range(12)], {})
    path = folder / "handbook.onnx"
    model = onnx.load(path, load_external_data=False)
    del model.graph.output[[output.name for output in model.graph.output].index("states")]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="tells no states"):
        open_handbook(folder)


def test_dialogues_without_notes_teach_nothing(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no dialogue with notes|a threshold needs"):
        add_judge(folder, [], {})


def test_the_command_tells_what_it_measured(folder: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        dialogue = _dialogue(5 * number + 1)
        rows.append(
            json.dumps(
                {
                    "id": dialogue.key,
                    "messages": [{"role": m.role, "content": m.content} for m in dialogue.messages],
                    "asks": dialogue.asks,
                    "context": [{"title": n.title, "text": n.text} for n in dialogue.notes],
                }
            )
        )
    (tmp_path / "gro.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arguments = ["judge", str(folder), "--data", str(tmp_path / "gro.jsonl")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "cross-validation, judge: answerable" in result.output
    assert open_handbook(folder).reader.look is not None
