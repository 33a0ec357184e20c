from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import BadInputError, StorageError
from assistant.history import ROOT, History, snippet_parts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


@pytest.fixture
def history(path: Path):
    history = History(path)
    yield history
    history.close()


def exchange(history: History, conversation_id: str, question: str, answer: str) -> tuple[str, str]:
    asked = history.add_user_message(conversation_id, question)
    begun = history.begin_answer(asked.id, "m", {"temperature": 0.5})
    history.finish_answer(begun.id, answer, "complete", {"stop_reason": "end"})
    return asked.id, begun.id


def test_a_conversation_reads_back_as_it_was_written(path: Path) -> None:
    history = History(path)
    conversation = history.create_conversation("m", "Be kind.")
    exchange(history, conversation.id, "Where is\nmy order?", "On its way.")
    history.close()

    reopened = History(path)
    assert [(m.role, m.content, m.status) for m in reopened.messages(conversation.id)] == [
        ("user", "Where is\nmy order?", "complete"),
        ("assistant", "On its way.", "complete"),
    ]
    answer = reopened.messages(conversation.id)[1]
    assert answer.options == {"temperature": 0.5}
    assert answer.statistics == {"stop_reason": "end"}
    listed = reopened.conversations()[0]
    assert (listed.title, listed.message_count) == ("Where is my order?", 2)
    assert listed.system_prompt == "Be kind."


def test_a_question_is_on_disk_when_the_call_returns(history: History, path: Path) -> None:
    conversation = history.create_conversation("m", "")
    history.add_user_message(conversation.id, "is it stored?")
    other = History(path)
    assert other.messages(conversation.id)[0].content == "is it stored?"


def test_the_title_is_the_first_question_and_can_be_changed(history: History) -> None:
    conversation = history.create_conversation("m", "")
    assert conversation.title == ""
    exchange(history, conversation.id, "first", "a")
    exchange(history, conversation.id, "second", "b")
    assert history.conversation(conversation.id).title == "first"
    history.rename(conversation.id, "Order \x1b[31m17")
    assert history.conversation(conversation.id).title == "Order [31m17"
    with pytest.raises(BadInputError):
        history.rename(conversation.id, "  ")


def test_a_unique_prefix_of_an_id_is_enough_and_an_ambiguous_one_is_refused(
    history: History,
) -> None:
    ids = [history.create_conversation("m", "").id for _ in range(40)]
    assert history.conversation(ids[7]).id == ids[7]
    firsts = [i[0] for i in ids]
    shared = next(c for c in firsts if firsts.count(c) > 1)
    with pytest.raises(BadInputError, match="Several"):
        history.conversation(shared)
    assert history.conversation(ids[3][:12]).id == ids[3]


@pytest.mark.parametrize("unknown", ["", "nope", "%", "_", "' OR 1=1 --", "\x00", "\ud800"])
def test_an_unknown_conversation_is_bad_input(history: History, unknown: str) -> None:
    history.create_conversation("m", "")
    with pytest.raises(BadInputError):
        history.conversation(unknown)


def test_conversations_are_listed_newest_first_in_pages(history: History) -> None:
    ids = [history.create_conversation("m", "").id for _ in range(5)]
    history.add_user_message(ids[1], "touched last")
    listed = [c.id for c in history.conversations()]
    assert listed[0] == ids[1]
    assert [c.id for c in history.conversations(limit=2, offset=1)] == listed[1:3]


def test_a_regenerated_answer_is_a_sibling_and_either_can_be_selected(history: History) -> None:
    conversation = history.create_conversation("m", "")
    question, first = exchange(history, conversation.id, "q", "first")
    second = history.begin_answer(question, "m", {}).id
    history.finish_answer(second, "second", "complete")
    assert [m.id for m in history.siblings(first)] == [first, second]
    assert [m.content for m in history.messages(conversation.id)] == ["q", "second"]
    history.select(first)
    exchange(history, conversation.id, "more", "and more")
    history.select(second)
    assert [m.content for m in history.messages(conversation.id)] == ["q", "second"]
    history.select(first)
    branch = [m.content for m in history.messages(conversation.id)]
    assert branch == ["q", "first", "more", "and more"]


def test_an_edited_first_question_begins_a_branch_of_its_own(history: History) -> None:
    conversation = history.create_conversation("m", "")
    first, _ = exchange(history, conversation.id, "teh question", "?")
    edited = history.add_user_message(conversation.id, "the question", parent_id=ROOT)
    assert edited.parent_id is None
    assert [m.content for m in history.messages(conversation.id)] == ["the question"]
    assert [m.id for m in history.siblings(edited.id)] == [first, edited.id]


def test_a_message_cannot_follow_one_of_another_conversation(history: History) -> None:
    one, two = (history.create_conversation("m", "").id for _ in range(2))
    question, _ = exchange(history, one, "q", "a")
    with pytest.raises(BadInputError):
        history.add_user_message(two, "x", parent_id=question)


def test_answers_left_by_a_killed_process_become_interrupted(path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from assistant.history import History
history = History(Path({str(path)!r}))
conversation = history.create_conversation("m", "")
question = history.add_user_message(conversation.id, "what happens now?")
answer = history.begin_answer(question.id, "m", {{}})
history.update_answer(answer.id, "You can always")
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    history = History(path)
    assert history.recover() == 1
    (conversation,) = history.conversations()
    question, answer = history.messages(conversation.id)
    assert (question.content, question.status) == ("what happens now?", "complete")
    assert (answer.content, answer.status) == ("You can always", "interrupted")
    assert history.recover() == 0


def test_recovery_leaves_an_answer_alone_that_is_being_said(history: History) -> None:
    conversation = history.create_conversation("m", "")
    question = history.add_user_message(conversation.id, "q")
    answer = history.begin_answer(question.id, "m", {})
    assert history.recover() == 0
    history.finish_answer(answer.id, "done", "complete")
    assert history.messages(conversation.id)[-1].status == "complete"


def test_recovery_leaves_the_answer_of_another_living_process_alone(
    history: History, path: Path
) -> None:
    script = f"""
import sys
from pathlib import Path
from assistant.history import History
history = History(Path({str(path)!r}))
question = history.add_user_message(history.create_conversation("m", "").id, "q")
history.begin_answer(question.id, "m", {{}})
print("ready", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert history.recover() == 0
        process.communicate(b"")
    assert history.recover() == 1


def test_an_answer_untouched_for_minutes_is_interrupted_whoever_has_its_process_number(
    history: History, path: Path
) -> None:
    question = history.add_user_message(history.create_conversation("m", "").id, "q")
    answer = history.begin_answer(question.id, "m", {})
    other = History(path)
    history._connection.execute("UPDATE message SET process = 1 WHERE id = ?", (answer.id,))
    history._connection.commit()
    assert other.recover() == 0  # process 1 always lives
    history._connection.execute("UPDATE message SET updated = '2001-01-01T00:00:00'")
    history._connection.commit()
    assert other.recover() == 1


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(path.parent.iterdir()) if p.is_file())


def test_deleted_text_is_gone_from_the_bytes_of_the_files(history: History, path: Path) -> None:
    kept = history.create_conversation("m", "")
    exchange(history, kept.id, "keepsake", "remembered")
    doomed = history.create_conversation("m", "You keep the codeword marzipan.")
    for n in range(40):  # enough to spread over several pages and index segments
        exchange(
            history, doomed.id, f"xylophone{n} secret", f"quartz{n} answer " + "zeppelin " * 30
        )
    begun = history.begin_answer(history.messages(doomed.id)[-2].id, "m", {})
    history.update_answer(begun.id, "velociraptor draft")
    history.finish_answer(begun.id, "final", "complete")
    assert b"xylophone7" in bytes_on_disk(path)

    history.delete(doomed.id)

    left = bytes_on_disk(path)
    for word in (b"xylophone", b"quartz", b"zeppelin", b"velociraptor", b"marzipan", b"ylophone"):
        assert word not in left, word
    assert b"keepsake" in left
    assert history.search("xylophone7") == []
    assert [h.conversation_id for h in history.search("keepsake")] == [kept.id]
    assert history.integrity() == []
    with pytest.raises(BadInputError):
        history.conversation(doomed.id)


def test_a_conversation_deeper_than_sqlites_trigger_limit_can_be_read_and_deleted(
    history: History,
) -> None:
    conversation = history.create_conversation("m", "")
    connection = history._connection
    rows = [
        (f"{n:06}", conversation.id, f"{n - 1:06}" if n else None, f"text {n}") for n in range(1500)
    ]
    with history.writing():
        connection.executemany(
            "INSERT INTO message (id, conversation_id, parent_id, role, content, status, created,"
            " updated) VALUES (?, ?, ?, 'user', ?, 'complete', '', '')",
            rows,
        )
        connection.execute("UPDATE conversation SET leaf_id = '001499'")
    assert len(history.messages(conversation.id)) == 1500
    history.delete(conversation.id)
    assert history.counts() == (0, 0)


def test_search_finds_all_words_the_last_one_as_a_prefix(history: History) -> None:
    conversation = history.create_conversation("m", "")
    exchange(history, conversation.id, "How do I reset my password?", "Open Réglages first.")
    (hit,) = history.search("password res")
    assert hit.conversation_id == conversation.id
    assert ("reset", True) in snippet_parts(hit.snippet)
    assert history.search("reglages")[0].role == "assistant"
    assert history.search("password unicorn") == []


def test_search_follows_changes_of_an_answer(history: History) -> None:
    conversation = history.create_conversation("m", "")
    _, answer = exchange(history, conversation.id, "q", "alpha")
    history.update_answer(answer, "omega")
    assert history.search("alpha") == []
    assert history.search("omega")[0].message_id == answer


@pytest.mark.parametrize("passage", ["C++", "注文", "50%", "a_b", "ordnanc"])
def test_search_finds_passages_the_tokenizer_has_no_words_for(
    history: History, passage: str
) -> None:
    conversation = history.create_conversation("m", "")
    exchange(history, conversation.id, "C++ a_b 50% 私の注文はどこですか 5000 axb", "xordnance")
    parts = snippet_parts(history.search(passage)[0].snippet)
    assert any(hit and passage.lower() in text.lower() for text, hit in parts)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(codec=None), max_size=30))
def test_no_query_is_an_error(query: str) -> None:
    history = History(None)
    conversation = history.create_conversation("m", "")
    history.add_user_message(conversation.id, "some text " + query)
    history.search(query)
    history.close()


@pytest.mark.parametrize("query", ['"', "a AND", "NEAR(", "content:x", "^a", "-", "*", "a\x00b"])
def test_the_query_languages_own_signs_are_plain_text(history: History, query: str) -> None:
    history.create_conversation("m", "")
    assert history.search(query) == []


def test_a_snippet_never_carries_control_characters_of_the_text(history: History) -> None:
    conversation = history.create_conversation("m", "")
    exchange(history, conversation.id, "q", "evil \x02\x1b]0;pwned\x07 token\x03 end")
    parts = snippet_parts(history.search("token")[0].snippet)
    assert [text for text, hit in parts if hit] == ["token"]
    assert not any(c < " " for text, _ in parts for c in text)


def test_threads_can_write_at_the_same_time(history: History, path: Path) -> None:
    conversation = history.create_conversation("m", "")
    second = History(path)

    def write(target: History) -> None:
        for n in range(10):
            target.add_user_message(conversation.id, f"message {n}")

    threads = [threading.Thread(target=write, args=(h,)) for h in (history, history, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history.conversation(conversation.id).message_count == 30
    assert len(history.messages(conversation.id)) == 30
    second.close()


def test_a_private_history_leaves_no_file(tmp_path: Path) -> None:
    history = History(None)
    conversation = history.create_conversation("m", "")
    exchange(history, conversation.id, "secret", "a")
    history.delete(conversation.id)
    assert not (tmp_path / "data").exists()


def test_text_that_is_no_unicode_is_stored_with_replacements(history: History) -> None:
    conversation = history.create_conversation("m", "")
    stored = history.add_user_message(conversation.id, "a\ud800b\x00c")
    assert stored.content == "a?bc"


def test_of_a_word_that_is_everywhere_the_newest_messages_are_ranked(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.history.search.MOST_RANKED", 3)
    conversation = history.create_conversation("m", "")
    for n in range(6):
        history.add_user_message(conversation.id, f"common number{n}")
    found = {hit.snippet.split("number")[1][0] for hit in history.search("common")}
    assert found == {"3", "4", "5"}
    assert len(history.search("number0")) == len(history.search("common number0")) == 1


def test_the_end_of_an_answer_that_the_disk_refused_is_read_and_stored_later(path: Path) -> None:
    history = History(path)
    conversation = history.create_conversation("m", "")
    question = history.add_user_message(conversation.id, "q")
    answer = history.begin_answer(question.id, "m", {})
    history.update_answer(answer.id, "half")
    limit = history._connection.execute("PRAGMA page_count").fetchone()[0]
    history._connection.execute(f"PRAGMA max_page_count = {limit}")  # a full disk
    with pytest.raises(StorageError, match="full"):
        history.finish_answer(answer.id, "whole " * 5000, "complete")
    assert history.message(answer.id).content == "whole " * 5000
    assert [m.status for m in history.messages(conversation.id)] == ["complete", "complete"]
    with pytest.raises(StorageError, match="full"):
        history.add_user_message(conversation.id, "next")
    assert History(path).message(answer.id).content == "half"
    history._connection.execute("PRAGMA max_page_count = 1000000")
    history.close()
    kept = History(path).message(answer.id)
    assert (kept.content, kept.status) == ("whole " * 5000, "complete")


def test_methods_of_a_closed_history_raise_a_storage_error(path: Path) -> None:
    history = History(path)
    history.close()
    with pytest.raises(StorageError):
        history.conversations()
