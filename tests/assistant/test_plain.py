from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from assistant.chat import Chunk, Completion, GenerationOptions
from assistant.conversation import Message
from assistant.errors import BadInputError, ModelError
from assistant.history import History
from assistant.plain import PlainConversation, _last_end, run_plain
from assistant.plugin_api import Analyzer, Detector, Evidence, Report, SlashCommand
from assistant.plugin_host import PluginHost
from assistant.testing import ScriptedChatModel

REPORT = Report(
    kind="e-mail",
    verdict="spam",
    tone="bad",
    score=0.97,
    headline="This looks \x1b[31mlike spam.",
    evidence=(Evidence("asks for a password", 1.5, "send your pass\x07word"),),
    details={"From": "x@example.com"},
    advice=("Do not answer it.",),
)


class Host(PluginHost):
    """A host with plugins of its own."""

    def detectors(self) -> list[Detector]:
        return [Detector("t.mail", "e-mail", "t.check", lambda text: float("From:" in text))]

    def analyzers(self) -> dict[str, Analyzer]:
        return {"t.check": Analyzer("t.check", "Check for spam", lambda *_: REPORT)}

    def slash_commands(self) -> list[SlashCommand]:
        def fail(arguments: str) -> str:
            raise BadInputError("No such file") if arguments else RuntimeError("bug")

        return [
            SlashCommand("wave", "Wave.", lambda arguments: f"o/ {arguments}\x1b[2J"),
            SlashCommand("fail", "Fail.", fail),
        ]


Talk = Callable[..., tuple[int, str, str]]


@pytest.fixture
def history() -> Iterator[History]:
    history = History(None)
    yield history
    history.close()


@pytest.fixture
def talk(history: History) -> Talk:
    """Type lines, get the exit code, what was answered and what was said beside it."""

    def talk(*lines: str, model: ScriptedChatModel | None = None) -> tuple[int, str, str]:
        typed = iter(lines)

        def read_line(prompt: str) -> str:
            messages.write(prompt)
            try:
                return next(typed)
            except StopIteration:
                raise EOFError from None

        output, messages = io.StringIO(), io.StringIO()
        conversation = PlainConversation(
            history, model or ScriptedChatModel(), Host(), read_line, output, messages
        )
        return conversation.run(), output.getvalue(), messages.getvalue()

    return talk


def test_a_question_is_answered_and_the_end_of_input_leaves(talk: Talk, history: History) -> None:
    code, out, messages = talk("Hi", "", "How are you?")
    assert (code, out) == (0, "Hello! What can I help you with?\n" * 2)
    assert messages.count("you> ") == 4
    assert history.counts() == (1, 4)


def test_quit_leaves_at_once(talk: Talk) -> None:
    assert talk("/quit", "never asked")[:2] == (0, "")


def test_sentences_are_flushed_whole() -> None:
    written: list[str] = []

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    class Pieces(ScriptedChatModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
        ) -> Iterator[Chunk | Completion]:
            for piece in ("He", "llo the", "re. How", " are", " you?\nFi", "ne, I", " hope"):
                yield Chunk(piece)
            yield Completion("", "end", 1, 5, 1.0, 1.0)

    lines = iter(["q", "/quit"])
    PlainConversation(
        History(None), Pieces(), Host(), lambda _: next(lines), Output(), io.StringIO()
    ).run()
    assert written == ["Hello there. ", "How are you?\n", "Fine, I hope\n"]


def test_the_number_of_an_item_is_no_sentence() -> None:
    text = "Two steps:\n1. Open it. "
    assert [_last_end(text[:n]) for n in (11, 13, 14, 22)] == [11, 11, 11, 11]
    assert _last_end(text) == len(text)
    assert _last_end("It was in 2024. Then") == len("It was in 2024. ")


@pytest.mark.parametrize("bracketed", [True, False])
def test_lines_that_arrive_at_once_are_one_text(history: History, bracketed: bool) -> None:
    mail = ["From: a", "", "Win!", "Now!", "Yours"]
    typed = ["\n".join(mail)] if bracketed else list(mail)
    model, output = ScriptedChatModel(), io.StringIO()
    more = len(typed) - 1

    def read_line(prompt: str) -> str:
        if typed:
            return typed.pop(0)
        if "[Y/n]" in prompt:
            return "y"
        raise EOFError

    def more_waits() -> bool:
        return more > 0 and len(typed) > 0

    PlainConversation(
        history, model, Host(), read_line, output, io.StringIO(), more_waits=more_waits
    ).run()
    assert output.getvalue().startswith("e-mail: spam (97%)")
    assert model.prompts == []  # nothing of it reached the model


def test_questions_typed_ahead_stay_questions(history: History) -> None:
    typed = ["one", "two", "three"]
    model = ScriptedChatModel()

    def read_line(_prompt: str) -> str:
        if not typed:
            raise EOFError
        return typed.pop(0)

    PlainConversation(
        history,
        model,
        Host(),
        read_line,
        io.StringIO(),
        io.StringIO(),
        more_waits=lambda: bool(typed),
    ).run()
    assert [prompt[-1].content for prompt in model.prompts] == ["one", "two", "three"]


def test_new_begins_another_conversation(talk: Talk, history: History) -> None:
    talk("one", "/new", "two")
    assert [c.title for c in history.conversations()] == ["two", "one"]


def test_again_and_continue_answer_once_more(talk: Talk) -> None:
    model = ScriptedChatModel(["first", "second"])
    code, out, messages = talk("/again", "q", "/again", "/continue", model=model)
    assert (code, out) == (0, "first\nsecond\n")
    assert "no question to answer" in messages
    assert "The last answer is complete" in messages


def test_help_lists_the_commands_of_plugins_too(talk: Talk) -> None:
    messages = talk("/help")[2]
    assert "/paste" in messages
    assert "/wave" in messages


def test_an_unknown_command_is_not_sent_to_the_model(talk: Talk) -> None:
    model = ScriptedChatModel()
    assert "no command /fly" in talk("/fly away", model=model)[2]
    assert model.prompts == []


def test_a_slash_command_of_a_plugin_runs_and_its_text_is_made_safe(talk: Talk) -> None:
    assert talk("/wave hello")[1] == "o/ hello[2J\n"


def test_a_slash_command_that_fails_costs_one_line(talk: Talk) -> None:
    code, out, messages = talk("/fail", "/fail x", "still there?")
    assert (code, out) == (0, "Hello! What can I help you with?\n")
    assert "/fail failed (RuntimeError('bug'))" in messages
    assert "error: No such file" in messages


@pytest.mark.parametrize("answer", ["", "y", "YES"])
def test_a_pasted_mail_is_offered_to_its_analyzer(talk: Talk, answer: str) -> None:
    model = ScriptedChatModel()
    _, out, messages = talk("/paste", "From: a", "", "Win!", ".", answer, model=model)
    assert "This looks like: e-mail. Check for spam? [Y/n]" in messages
    assert out.startswith("e-mail: spam (97%)\nThis looks [31mlike spam.\n")
    assert "+ asks for a password: “send your password”" in out
    assert out.endswith("Do not answer it.\n")
    assert model.prompts == []


def test_a_pasted_mail_can_be_sent_to_the_model_instead(talk: Talk) -> None:
    model = ScriptedChatModel()
    talk("/paste", "From: a", "", "Win!", ".", "n", model=model)
    assert model.prompts[0][-1].content == "From: a\n\nWin!"


def test_other_pasted_text_is_a_question_of_several_lines(talk: Talk) -> None:
    model = ScriptedChatModel()
    talk("/paste", "line 1", "/quit", ".", model=model)
    assert model.prompts[0][-1].content == "line 1\n/quit"
    assert "Nothing was pasted" in talk("/paste", ".")[2]


def test_an_error_is_one_line_and_the_conversation_goes_on(talk: Talk) -> None:
    model = ScriptedChatModel([ModelError("It broke", "Try again"), "fine"])
    code, out, messages = talk("one", "two", model=model)
    assert (code, out) == (0, "\nfine\n")
    assert "error: It broke. Try again" in messages


def test_ctrl_c_stops_the_answer_and_keeps_it(talk: Talk, history: History) -> None:
    class Interrupted(ScriptedChatModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
        ) -> Iterator[Chunk | Completion]:
            for event in super().stream(messages, options, cancel):
                yield event
                if len(self.prompts) == 1 and isinstance(event, Chunk):
                    signal.raise_signal(signal.SIGINT)

    code, out, messages = talk("q", "q2", model=Interrupted(["one two three", "again"]))
    assert (code, out) == (0, "one\nagain\n")
    assert "stopped; /continue goes on" in messages
    stored = history.messages(history.conversations()[0].id)
    assert [(m.content, m.status) for m in stored if m.role == "assistant"] == [
        ("one", "stopped"),
        ("again", "complete"),
    ]


def test_ctrl_c_at_the_prompt_says_how_to_leave(history: History) -> None:
    def read_line(prompt: str) -> str:
        reads.append(prompt)
        if len(reads) == 1:
            raise KeyboardInterrupt
        raise EOFError

    reads: list[str] = []
    messages = io.StringIO()
    code = PlainConversation(
        history, ScriptedChatModel(), Host(), read_line, io.StringIO(), messages
    ).run()
    assert (code, len(reads)) == (0, 2)
    assert "/quit leaves" in messages.getvalue()


def test_piped_lines_are_questions_and_stdout_holds_answers_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "assistant.engine.chat_model.load_chat_model", lambda _: ScriptedChatModel()
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\nHow are you?"))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FRONTDESK_DATA", str(tmp_path / "file" / "data"))
    assert run_plain("support-chat") == 0
    captured = capsys.readouterr()
    assert captured.out == "Hello! What can I help you with?\n" * 2
    assert captured.err.count("warning: ") == 1
    assert "you>" not in captured.err


def test_the_commands_of_the_full_screen_work_line_by_line(
    talk: Talk, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ScriptedChatModel(answers=("One.", "Two.", "Three."))
    _, out, messages = talk(
        "Where is my parcel?",
        "/again",
        "/versions",
        "/versions 1",
        "/edit Where is my letter?",
        "/rename About post",
        "/pin",
        "/options temperature=0.5 seed=3",
        "/system Be brief.",
        "/export text",
        "/new",
        "/search letter",
        "/open 1",
        "/show",
        "/histroy",
        model=model,
    )
    assert out.startswith("One.\nTwo.\nOne.\nThree.\n")
    assert "2. Two. (this one)" in messages
    assert "temperature 0.5, max tokens 512, seed 3" in messages
    assert "1. About post: Where is my *letter*?" in messages
    assert "did you mean /history" in messages
    assert out.endswith("You:\nWhere is my letter?\n\nFrontdesk:\nThree.\n")
    [conversation] = history.conversations()
    assert (conversation.title, conversation.pinned) == ("About post", True)
    assert (conversation.system_prompt, conversation.options["seed"]) == ("Be brief.", 3)
    assert "Where is my letter?" in (tmp_path / "about-post.txt").read_text()


def test_delete_asks_and_private_keeps_nothing(talk: Talk, history: History) -> None:
    talk("one", "/delete", "n")
    assert history.counts()[0] == 1
    talk("/open", "/private", "secret", "/search secret")
    assert history.search("secret") == []
    _, _, messages = talk("two", "/delete", "y")
    assert "A new conversation begins." in messages
    assert [c.title for c in history.conversations()] == ["one"]


@pytest.mark.parametrize(("said", "sent"), [("s", "w0 "), ("e", " w59"), ("", "")])
def test_too_long_a_question_is_shortened_only_as_one_says(
    talk: Talk, history: History, said: str, sent: str
) -> None:
    model = ScriptedChatModel(context_length=40, options=GenerationOptions(max_tokens=20))
    talk(" ".join(f"w{n}" for n in range(60)), said, model=model)
    assert len(model.prompts) == bool(sent)
    assert not sent or sent in model.prompts[0][-1].content
