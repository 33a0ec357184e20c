from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from assistant.chat import Chunk, Completion, GenerationOptions
from assistant.conversation import Message
from assistant.errors import ModelError
from assistant.history import History
from assistant.paths import database_path
from assistant.testing import ScriptedChatModel

KEYS = [
    "text",
    "model",
    "prompt_tokens",
    "output_tokens",
    "time_to_first_token_ms",
    "tokens_per_second",
    "stop_reason",
    "conversation_id",
    "sources",
]


def stored() -> list[tuple[str, str, str]]:
    history = History(database_path())
    return [
        (m.role, m.content, m.status)
        for conversation in history.conversations()
        for m in history.messages(conversation.id)
    ]


def test_the_answer_goes_to_stdout_and_is_stored(run, model: ScriptedChatModel) -> None:
    result = run("ask", "Where is my order?")
    assert (result.code, result.out, result.err) == (0, "It is on its way.\n", "")
    assert stored() == [
        ("user", "Where is my order?", "complete"),
        ("assistant", "It is on its way.", "complete"),
    ]


def test_json_is_one_object_with_the_promised_keys(run, model: ScriptedChatModel) -> None:
    result = run("ask", "--json", "Where is my order?")
    data = json.loads(result.out)
    assert list(data) == KEYS
    assert data["text"] == "It is on its way."
    assert (data["model"], data["stop_reason"], data["sources"]) == ("scripted", "end", [])
    assert History(database_path()).conversation(data["conversation_id"]).message_count == 2


@pytest.mark.parametrize(
    ("prompt", "stdin", "question"),
    [
        (None, "piped\n", "piped"),
        ("-", "piped", "piped"),
        ("Summarise:", "line 1\nline 2\n", "Summarise:\n\nline 1\nline 2"),
        ("alone", "", "alone"),
    ],
)
def test_the_question_is_the_argument_then_the_pipe(
    run, model: ScriptedChatModel, prompt: str | None, stdin: str, question: str
) -> None:
    assert run("ask", *([prompt] if prompt else []), stdin=stdin).code == 0
    assert model.prompts[0][-1] == Message("user", question)


@pytest.mark.parametrize(
    "arguments", [{"stdin": ""}, {"stdin": " \n"}, {"typed": "nobody reads this"}]
)
def test_an_empty_question_is_bad_input(run, model: ScriptedChatModel, arguments) -> None:
    result = run("ask", **arguments)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("error: The question is empty\nhint: ")
    assert not database_path().exists()


def test_a_question_longer_than_the_window_is_bad_input(run, model: ScriptedChatModel) -> None:
    result = run("ask", stdin="word " * 3000)
    assert result.code == 3
    assert "2048" in result.err


def test_an_endless_pipe_is_bad_input(
    run, model: ScriptedChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.cli.ask.LONGEST_INPUT", 100)
    assert run("ask", stdin="x" * 101).code == 3


def test_options_reach_the_model_and_the_stored_answer(run, model: ScriptedChatModel) -> None:
    result = run(
        "ask", "q", "--max-tokens", "2", "--temperature", "0.5", "--seed", "7", "--system", "Hm."
    )
    assert result.out == "It is\n"
    assert "cut at 2 tokens" in result.err
    assert model.prompts[0][0] == Message("system", "Hm.")
    history = History(database_path())
    answer = history.messages(history.conversations()[0].id)[-1]
    assert (answer.options["temperature"], answer.options["seed"]) == (0.5, 7)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-tokens", "0"],
        ["--temperature", "-1"],
        ["--temperature", "nan"],
        ["--temperature", "inf"],
        ["--seed", "-1"],
        ["--seed", "x"],
        ["--no-such-option"],
        ["--no-history", "--conversation", "x"],
        ["second argument"],
    ],
)
def test_wrong_usage_exits_with_2(run, model: ScriptedChatModel, arguments: list[str]) -> None:
    result = run("ask", "q", *arguments)
    assert (result.code, result.out) == (2, "")
    assert "Usage: assistant ask" in result.err


def test_no_history_stores_nothing(run, model: ScriptedChatModel) -> None:
    result = run("ask", "q", "--no-history", "--json")
    assert result.code == 0
    assert json.loads(result.out)["conversation_id"] is None
    assert not database_path().exists()


def test_a_conversation_goes_on(run, model: ScriptedChatModel) -> None:
    first = json.loads(run("ask", "one", "--json").out)["conversation_id"]
    second = json.loads(run("ask", "two", "--json", "--conversation", first[:10]).out)
    assert second["conversation_id"] == first
    assert [m.content for m in model.prompts[1]][1:] == ["one", "It is on its way.", "two"]


def test_an_unknown_conversation_is_bad_input(run, model: ScriptedChatModel) -> None:
    result = run("ask", "q", "--conversation", "nope")
    assert (result.code, result.out) == (3, "")
    assert "nope" in result.err


def test_control_characters_never_reach_the_terminal(run, model: ScriptedChatModel) -> None:
    model.answers = ["red \x1b[31m \x9b2J \u202e\x07 end"]
    out = run("ask", "q").out
    assert out == "red [31m 2J  end\n"
    as_json = run("ask", "q", "--json").out
    assert "\x9b" not in as_json
    assert "\u202e" not in as_json
    assert json.loads(as_json)["text"] == model.answers[0]


def test_a_history_that_cannot_be_used_does_not_cost_the_answer(
    run, model: ScriptedChatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FRONTDESK_DATA", str(tmp_path / "file" / "data"))
    result = run("ask", "q")
    assert (result.code, result.out) == (0, "It is on its way.\n")
    assert result.err.startswith("warning: ")
    assert result.err.count("\n") == 1
    assert run("ask", "q", "--conversation", "abc").code == 1


def test_a_disk_that_refuses_the_question_does_not_cost_the_answer(
    run, model: ScriptedChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assistant.errors import StorageError
    from assistant.history import store

    original = store.History.add_user_message

    def refuse(self: History, *arguments, **named):
        if self.path is not None:
            raise StorageError("The disk is full")
        return original(self, *arguments, **named)

    monkeypatch.setattr(store.History, "add_user_message", refuse)
    result = run("ask", "q", "--json")
    assert result.code == 0
    assert json.loads(result.out)["conversation_id"] is None
    assert "The disk is full" in result.err


class Interrupted(ScriptedChatModel):
    """Ctrl-C arrives while it answers."""

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        for number, event in enumerate(super().stream(messages, options, cancel)):
            yield event
            if number == 1:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_keeps_what_was_said_and_exits_with_130(
    run, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr(
        "assistant.engine.chat_model.load_chat_model",
        lambda name, threads=None: Interrupted(["It is on its way."]),
    )
    handler = signal.getsignal(signal.SIGINT)
    result = run("ask", "q", *(["--json"] if as_json else []))
    assert result.code == 130
    assert (json.loads(result.out)["text"] if as_json else result.out.rstrip("\n")) == "It is"
    assert stored()[-1] == ("assistant", "It is", "stopped")
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_while_the_model_loads_exits_with_130(run, monkeypatch) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assistant.engine.chat_model.load_chat_model", interrupted)
    result = run("ask", "q")
    assert (result.code, result.out) == (130, "")


def test_a_failing_model_exits_with_4_and_leaves_a_failed_answer(
    run, model: ScriptedChatModel
) -> None:
    model.answers = [ModelError("The logits are not finite", "Verify the model")]
    result = run("ask", "q")
    assert result.code == 4
    assert result.err == "error: The logits are not finite\nhint: Verify the model\n"
    assert stored()[-1] == ("assistant", "", "failed")


def test_an_unexpected_error_is_one_line_and_a_traceback_only_with_debug(
    run, model: ScriptedChatModel
) -> None:
    model.answers = [ZeroDivisionError("odd\nerror")]
    result = run("ask", "q")
    assert result.code == 1
    assert result.err == (
        "unexpected error: ZeroDivisionError: odd error (run with --debug for details)\n"
    )
    assert "Traceback" in run("--debug", "ask", "q").err


def bundle_json(content: str) -> None:
    directory = Path(os.environ["FRONTDESK_MODELS"]) / "support-chat"
    directory.mkdir(parents=True)
    (directory / "bundle.json").write_text(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no model named 'support-chat'"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"format_version": 99}', "format 99"),
    ],
)
def test_a_missing_damaged_or_newer_model_exits_with_4(run, content: str | None, said: str) -> None:
    if content is not None:
        bundle_json(content)
    result = run("ask", "q")
    assert (result.code, result.out) == (4, "")
    assert said in result.err
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    assert not database_path().exists()


SCRIPT = """
import os, sys
import assistant.engine.chat_model
from assistant.cli.main import main
from assistant.chat import Chunk
from assistant.testing import ScriptedChatModel

class Model(ScriptedChatModel):
    def stream(self, messages, options, cancel):
        for number, event in enumerate(super().stream(messages, options, cancel)):
            yield event
            if {die} and number == 1:
                os._exit(9)

assistant.engine.chat_model.load_chat_model = lambda name: Model(["word " * {words}])
sys.exit(main(["ask", "q", "--max-tokens", "1000000"]))
"""


def start(die: bool, words: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(die=die, words=words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_an_answer_cut_by_a_kill_is_found_interrupted_at_the_next_start(run) -> None:
    process = start(die=True, words=5)
    process.communicate()
    assert process.returncode == 9
    listed = json.loads(run("history", "list", "--json").out)
    assert "Frontdesk (interrupted):" in run("history", "show", listed[0]["id"]).out


def test_a_reader_that_leaves_ends_the_program_quietly(run) -> None:
    process = start(die=False, words=200_000)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(5) == b"word "
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert errors == b""
    assert stored()[-1][2] == "stopped"
