from __future__ import annotations

import dataclasses
import json
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.chat import GenerationOptions
from assistant.errors import BadInputError
from assistant.history import History
from assistant.options import (
    OPTIONS,
    differences,
    read_options,
    restored_options,
    shown_options,
)
from assistant.session import ChatSession
from assistant.testing import ScriptedChatModel

USUAL = GenerationOptions(temperature=0.2, seed=7)


def test_every_option_of_generation_can_be_typed() -> None:
    # stop texts may hold spaces: `ask --stop TEXT` gives them
    names = {field.name for field in dataclasses.fields(GenerationOptions)}
    assert set(OPTIONS) == names - {"stop"}


def test_options_are_read_as_typed() -> None:
    read = read_options("temperature=0,7 top-p=0.9 SEED=random", USUAL)
    assert read == GenerationOptions(temperature=0.7, top_p=0.9, seed=None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temprature=1", "Did you mean temperature"),
        ("temperature", "has no value"),
        ("temperature=hot", "from 0 to 2"),
        ("temperature=nan", "from 0 to 2"),
        ("top_k=1.5", "a whole number"),
        ("max_tokens=0", "from 1"),
        ("zzz=1", "There are temperature"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read_options(text, USUAL)
    assert said in str(caught.value)


VALUES = st.integers() | st.text(max_size=5) | st.none()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*OPTIONS, "other"]), VALUES, max_size=4))
def test_whatever_was_stored_gives_usable_options(stored: dict) -> None:
    options = restored_options(stored, USUAL)
    for name, option in OPTIONS.items():
        value = getattr(options, name)
        assert value is None or option.low <= value <= option.high


def test_differences_restore_the_options() -> None:
    changed = GenerationOptions(temperature=0.9, top_k=40, seed=7)
    assert differences(changed, USUAL) == {"temperature": 0.9, "top_k": 40}
    assert restored_options(differences(changed, USUAL), USUAL) == changed


def test_stop_texts_are_restored_from_json_and_shown() -> None:
    changed = dataclasses.replace(USUAL, stop=("User:", "\n\n"))
    stored = json.loads(json.dumps(differences(changed, USUAL)))
    assert restored_options(stored, USUAL) == changed
    assert restored_options({"stop": [1, None]}, USUAL) == USUAL
    assert "stops at 'User:', stops at '\\n\\n'" in shown_options(changed)


def test_options_are_shown_without_those_that_do_nothing() -> None:
    assert shown_options(GenerationOptions()) == "greedy, max tokens 512"
    assert shown_options(USUAL) == "temperature 0.2, max tokens 512, seed 7"


def test_a_conversation_goes_on_with_its_own_options_and_system_prompt() -> None:
    history, model = History(None), ScriptedChatModel()
    session = ChatSession(history, model)
    session.set_up(dataclasses.replace(model.options, max_tokens=3))
    list(session.ask("q", Event()))
    session.set_up(system_prompt="Be brief.")
    again = ChatSession(history, model, conversation_id=session.conversation_id)
    assert (again.options.max_tokens, again.system_prompt) == (3, "Be brief.")
    list(again.ask("q2", Event()))
    answer = again.last_answer
    assert answer is not None
    assert answer.options["max_tokens"] == 3
    assert model.prompts[1][0].content == "Be brief."
