"""Prompts are read, asked with their notes, and the answers judged by what was given."""

import json

import pytest

from training.evaluation.chat import Answer
from training.evaluation.prompts import holds_prompts, load_prompts, prompt_figures

NOTES = [{"title": "Hours", "text": "Open until 18:00."}, {"title": "Fee", "text": "It is £2.50."}]
ROWS = [
    {"id": "a", "messages": [{"role": "user", "content": "hello"}]},
    {
        "id": "b",
        "context": NOTES,
        "messages": [{"role": "user", "content": "when do you close"}],
        "facts": ["18:00"],
        "cites": [1],
    },
    {
        "id": "c",
        "context": NOTES,
        "messages": [{"role": "user", "content": "is there parking"}],
        "unanswerable": True,
    },
]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    assert holds_prompts(path)
    return load_prompts([path])


def figures_of(prompts, answers):
    said = iter(answers)
    return prompt_figures(lambda messages: Answer(next(said), True), prompts, "Be calm.")


def test_right_answers_count_as_right(prompts):
    figures, answers = figures_of(
        prompts, ["Hello!", "At 18:00 [1].", "The notes don't say anything about parking."]
    )
    assert figures["grounded_exact"] == figures["grounded_refused"] == 1.0
    assert figures["invented"] == figures["grounded_refused_wrongly"] == 0.0
    assert not any(answer["found"] for answer in answers)


def test_wrong_answers_are_found_and_named(prompts):
    figures, answers = figures_of(
        prompts, ["Call 0800 555 0100.", "The notes don't say.", "Yes, for £9 a day [2]."]
    )
    assert figures["grounded_exact"] == figures["grounded_refused"] == 0.0
    assert figures["grounded_refused_wrongly"] == 1.0
    assert figures["invented"] == pytest.approx(2 / 3)
    assert [set(answer["found"]) for answer in answers] == [
        {"invented"},
        {"facts", "grounded_refused_wrongly"},
        {"invented", "not refused"},
    ]


def test_a_fact_with_the_wrong_number_is_not_exact(prompts):
    figures, _ = figures_of(prompts, ["Hi.", "At 18:00 [2].", "Not in the notes."])
    assert figures["grounded_facts"] == 1.0
    assert figures["grounded_exact"] == 0.0


def test_notes_stand_in_the_last_question(prompts):
    asked = prompts[1].asked("Be calm.")
    assert asked[0].role == "system"
    assert "[1] Hours: Open until 18:00." in asked[-1].content


def test_dialogues_are_no_prompts(tmp_path):
    path = tmp_path / "dialogues.jsonl"
    roles = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path.write_text(json.dumps({"messages": roles}), encoding="utf-8")
    assert not holds_prompts(path)
    with pytest.raises(ValueError, match=r"dialogues\.jsonl:1"):
        load_prompts([path])


def test_the_projects_own_prompts_can_be_read():
    from training.datasets import WRITTEN

    folder = WRITTEN.parent / "evaluation"
    found = load_prompts([folder / "chat_prompts.jsonl", folder / "grounded.jsonl"])
    grounded = [prompt for prompt in found if prompt.grounded]
    assert len({prompt.key for prompt in found}) == len(found)
    for prompt in grounded:
        text = " ".join(note.text for note in prompt.notes)
        assert prompt.unanswerable != bool(prompt.facts)
        assert all(fact.lower() in text.lower() for fact in prompt.facts), prompt.key
        assert all(1 <= number <= len(prompt.notes) for number in prompt.cited)
