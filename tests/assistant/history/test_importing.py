from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.errors import BadInputError
from assistant.history import ROOT, History
from assistant.history.export import as_json, exported
from assistant.history.importing import import_json


@pytest.fixture
def full() -> History:
    """A conversation with an edited question, two answers and everything set."""
    history = History(None)
    conversation = history.create_conversation("m", "Be kind.")
    first = history.add_user_message(conversation.id, "Wo ist\nmein Paket?")
    for status in ("stopped", "complete"):
        answer = history.begin_answer(first.id, "m", {"seed": 3})
        history.finish_answer(answer.id, f"{status} [b]", status, {"stop_reason": "end"})
    history.add_user_message(conversation.id, "edited", ROOT)
    history.rename(conversation.id, "Parcels")
    history.pin(conversation.id)
    history.set_up(conversation.id, options={"temperature": 0.5})
    history.select(answer.id)
    return history


def test_what_was_exported_is_imported_as_it_was(full: History) -> None:
    (conversation,) = full.conversations()
    text = exported(full, conversation.id, "json")
    other = History(None)
    imported = import_json(other, text)
    assert (imported.ids, imported.known) == ((conversation.id,), 0)
    assert as_json(other, conversation.id) == as_json(full, conversation.id)
    assert [h.conversation_id for h in other.search("Paket")] == [conversation.id]


def test_a_conversation_that_is_there_stays_as_it_is(full: History) -> None:
    (conversation,) = full.conversations()
    text = exported(full, conversation.id, "json")
    full.rename(conversation.id, "Renamed since")
    imported = import_json(full, text)
    assert (imported.ids, imported.known) == ((), 1)
    assert full.conversation(conversation.id).title == "Renamed since"


def test_a_message_id_that_is_taken_gets_another(full: History) -> None:
    (conversation,) = full.conversations()
    (data,) = json.loads(exported(full, conversation.id, "json"))
    data["id"] = "another"
    import_json(full, json.dumps(data))  # a single object will do
    copied, original = full.messages("another"), full.messages(conversation.id)
    assert [m.content for m in copied] == [m.content for m in original]
    assert not {m.id for m in copied} & {m.id for m in original}


def changed(data: dict, path: list, value: object) -> str:
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps([data])


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["messages"], None, "no messages"),
        (["id"], "", "no id"),
        (["created"], "yesterday", "created"),
        (["options"], [1], "options"),
        (["messages", 1, "role"], "tool", "message 2"),
        (["messages", 1, "content"], 7, "content"),
        (["messages", 1, "parent_id"], "nowhere", "message 2"),
        (["messages", 2, "id"], "CLASH", "message 3"),
        (["messages", 0], "text", "message 1"),
        (["current_branch"], ["nowhere"], "branch"),
    ],
)
def test_a_wrong_export_is_refused_with_its_place_and_nothing_is_added(
    full: History, path: list, value: object, said: str
) -> None:
    (conversation,) = full.conversations()
    (data,) = json.loads(exported(full, conversation.id, "json"))
    value = data["messages"][0]["id"] if value == "CLASH" else value
    other = History(None)
    with pytest.raises(BadInputError, match=said):
        import_json(other, changed(data, path, value))
    assert other.counts() == (0, 0)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "messages", "created", "x"]), inner, max_size=3),
))  # fmt: skip
def test_any_json_is_imported_or_refused(data: object) -> None:
    history = History(None)
    try:
        import_json(history, json.dumps(data))
    except BadInputError:
        assert history.counts() == (0, 0)
    history.close()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json_is_bad_input(text: str) -> None:
    with pytest.raises(BadInputError):
        import_json(History(None), text)
