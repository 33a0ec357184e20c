"""Line mode: the conversation for screen readers, serial lines, dumb terminals and pipes."""

from __future__ import annotations

import difflib
import re
import select
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TextIO

from assistant.chat import ChatModel, Completion
from assistant.errors import AssistantError, ExitCode, StorageError, TooLongError, unexpected
from assistant.handbook.reading import handbook_line, leave_handbook
from assistant.history import History
from assistant.interrupt import stop_on_interrupt
from assistant.plain_commands import PlainCommands
from assistant.plugin_api import Report
from assistant.plugin_host import PluginHost
from assistant.report_text import render_report
from assistant.session import ChatSession, Stream
from assistant.text import sanitize, sanitize_line
from assistant.window import Part, shortened

PROMPT = "you> "
# a screen reader speaks what is flushed: whole sentences, or what has become long without one
_SENTENCE = re.compile(r"[.!?…:;][\"'”’)\]]*\s+|\n")
_NUMBER = re.compile(r"\s*\d+")  # of an item in a list: no sentence ends there
LONGEST_WAIT = 240  # characters
PASTED_LINES = 5  # that arrive at once are one message, as in the full screen
MORE_WITHIN = 0.03  # seconds in which a terminal delivers the next line of a paste


@dataclass
class PlainConversation:
    """The loop of line mode over any streams.

    Attributes:
        read_line: returns a line without its newline, shows the prompt it is given where
            somebody reads it; raises EOFError at the end.
        output: where answers go.
        messages: where everything else goes.
        more_waits: tells whether a further line is there to be read without waiting.
    """

    history: History
    model: ChatModel
    host: PluginHost
    read_line: Callable[[str], str]
    output: TextIO
    messages: TextIO
    conversation_id: str | None = None
    more_waits: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        """Open the conversation; raises BadInputError if there is none of that id."""
        self.session = ChatSession(self.history, self.model, conversation_id=self.conversation_id)
        self.slash_commands = {command.name: command for command in self.host.slash_commands()}
        self.commands = PlainCommands(self)
        self._ahead: list[str] = []  # lines that were typed ahead

    def run(self) -> int:
        """Talk until /quit or the end of the input; returns an exit code."""
        self.tell(f"{self.model.name} answers from this computer alone. /help lists commands.")
        while True:
            try:
                line = self._read_message().strip()
            except EOFError:
                return ExitCode.DONE
            except KeyboardInterrupt:
                self.tell("\nCtrl-D or /quit leaves.")
                continue
            if line.lower() in {"/quit", "/exit"}:
                return ExitCode.DONE
            if not line:
                continue
            try:
                self._take(line)
            except AssistantError as error:
                self.tell(f"error: {error}")
            except KeyboardInterrupt:
                self.tell("\nstopped")
            except Exception as error:  # whatever a model does, the conversation goes on
                self.tell(f"error: {unexpected('The answer failed', error)}")

    def _read_message(self) -> str:
        """Return the next line, or all lines of a paste."""
        if self._ahead:
            return self._ahead.pop(0)
        lines = [self.read_line(PROMPT)]
        with suppress(EOFError):
            while self.more_waits():
                lines.append(self.read_line(""))
        if len(lines) < PASTED_LINES:
            self._ahead = lines[1:]
            return lines[0]
        return "\n".join(lines)

    def _take(self, line: str) -> None:
        if "\n" in line:
            self._take_pasted(line)
            return
        name, _, argument = line[1:].partition(" ")
        if not line.startswith("/") or "/" in name:
            self.ask(line)
            return
        name = name.lower()
        if name in self.commands.table:
            self.commands.table[name].run(argument.strip())
        elif name in self.slash_commands:
            self._run_slash(name, argument.strip())
        else:
            known = [*self.commands.table, *self.slash_commands]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean /{near[0]}?" if near else "/help lists them."
            self.tell(f"There is no command /{sanitize_line(name, 40)}; {hint}")

    def _run_slash(self, name: str, arguments: str) -> None:
        try:
            result = self.slash_commands[name].run(arguments)
        except AssistantError:
            raise
        except Exception as error:
            self.tell(f"error: /{name} failed ({sanitize_line(repr(error))})")
            return
        self.say(render_report(result) if isinstance(result, Report) else sanitize(str(result)))

    def paste(self) -> None:
        """Take several lines; a recognised text is offered to its analyzer."""
        self.tell("Paste now. A line with a single dot ends it.")
        lines = []
        with suppress(EOFError):
            while (line := self.read_line("").rstrip("\r")) != ".":
                lines.append(line)
        text = "\n".join(lines)
        if text.strip():
            self._take_pasted(text)
        else:
            self.tell("Nothing was pasted.")

    def _take_pasted(self, text: str) -> None:
        """Offer a recognised text to its analyzer; any other one is a question."""
        detector = self.host.detect(text)
        if detector is not None:
            title = self.host.analyzers()[detector.analyzer].title
            question = f"This looks like: {detector.kind}. {title}? [Y/n] "
            if self.confirmed(sanitize_line(question) + " "):
                self._analyze(detector.analyzer, text)
                return
        self.ask(text)

    def confirmed(self, question: str) -> bool:
        """Ask a question that is answered by yes where nothing is said."""
        try:
            return self.read_line(question).strip().lower() in {"", "y", "yes"}
        except EOFError:
            return True

    def _analyze(self, name: str, text: str) -> None:
        analyzer = self.host.analyzers()[name]
        with stop_on_interrupt() as cancel:
            try:
                report = analyzer.analyze(text, lambda _fraction: None, cancel)
            except AssistantError:
                raise
            except Exception as error:
                self.tell(f"error: {sanitize_line(name)} failed ({sanitize_line(repr(error))})")
                return
            if cancel.is_set():
                self.tell("stopped")
                return
        self.say(render_report(report))

    def ask(self, text: str) -> None:
        """Answer a question; too long a one is shortened only as the person says."""
        try:
            with stop_on_interrupt() as cancel:
                self.stream(self.session.ask(text, cancel))
        except TooLongError as error:
            self.tell(f"{error.message}.")
            keep = self._part()
            short = shortened(text, keep, self.session.fits) if keep else ""
            if short:
                with stop_on_interrupt() as cancel:
                    self.stream(self.session.ask(short, cancel))
            elif keep:
                self.tell("Nothing of it fits.")

    def _part(self) -> Part | None:
        try:
            answer = self.read_line("Send its start, its end, or nothing? [s/e/N] ").strip().lower()
        except EOFError:
            return None
        return "start" if answer[:1] == "s" else "end" if answer[:1] == "e" else None

    def stream(self, events: Stream) -> None:
        """Write whole sentences: a screen reader speaks what is flushed."""
        waiting = ""
        completion: Completion | None = None
        try:
            for event in events:
                if isinstance(event, Completion):
                    completion = event
                    continue
                waiting += sanitize(event.text)
                end = _last_end(waiting)
                if not end and len(waiting) > LONGEST_WAIT:
                    end = waiting.rfind(" ") + 1
                if end:
                    self._write(waiting[:end])
                    waiting = waiting[end:]
        finally:
            events.close()
            self._write(waiting + "\n")
        if completion is not None:
            self._tell_what_matters(completion)

    def _tell_what_matters(self, completion: Completion) -> None:
        if completion.stop_reason == "stopped":
            self.tell("stopped; /continue goes on")
        elif completion.stop_reason == "length":
            self.tell("the answer reached its longest length; /continue goes on")
        elif completion.stop_reason == "context":
            self.tell("the model's window is full; /continue goes on without the oldest messages")
        if self.session.sources:
            line = handbook_line({"sources": [s.to_json() for s in self.session.sources]})
            self.tell(line[:1].lower() + line[1:])
        if self.session.handbook_error is not None:
            self.tell(f"warning: {self.session.handbook_error} (answered without the handbook)")
        if self.session.dropped_messages:
            self.tell(f"the {self.session.dropped_messages} oldest messages no longer fit")
        if self.session.storage_error is not None:
            self.tell(f"warning: {self.session.storage_error} (the answer was not stored in full)")

    def _write(self, text: str) -> None:
        self.output.write(text)
        self.output.flush()

    def say(self, text: str) -> None:
        """Write a result."""
        self._write(text.rstrip() + "\n")

    def tell(self, text: str) -> None:
        """Write a line of the program's own."""
        self.messages.write(sanitize(text) + "\n")
        self.messages.flush()


def _last_end(text: str) -> int:
    """Return the place after the last whole sentence of a text; 0 where there is none."""
    end = 0
    for match in _SENTENCE.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if match[0][0] != "." or not _NUMBER.fullmatch(line):
            end = match.end()
    return end


def run_plain(model_name: str, conversation_id: str | None = None, handbook: bool = True) -> int:
    """Run line mode on the process's own streams and return an exit code.

    Args:
        handbook: whether the model reads its handbook, if it has one.

    Raises:
        ModelError: the model cannot be loaded.
        BadInputError: there is no such conversation.
    """
    from assistant.engine.chat_model import load_chat_model
    from assistant.paths import database_path, ensure_data_directory

    model = load_chat_model(model_name)
    if not handbook:
        leave_handbook(model)
    model.warm_up()
    try:
        ensure_data_directory()
        history = History(database_path())
        history.recover()
    except StorageError as error:
        if conversation_id is not None:
            raise
        print(f"warning: {error} (nothing will be stored)", file=sys.stderr)
        history = History(None)
    for line in history.warnings:
        print(f"warning: {line}", file=sys.stderr)
    with closing(history):
        return PlainConversation(
            history,
            model,
            PluginHost(),
            _line_reader(),
            sys.stdout,
            sys.stderr,
            conversation_id,
            _more_waits,
        ).run()


def _line_reader() -> Callable[[str], str]:
    """Return a reader of lines from stdin; prompts are shown only where a person types."""
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401 - gives input() line editing
        return input

    def read(prompt: str) -> str:
        interactive = sys.stdin is not None and sys.stdin.isatty()
        if interactive and prompt:
            sys.stderr.write(prompt)
            sys.stderr.flush()
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not line:
            raise EOFError
        return line.rstrip("\n")

    return read


def _more_waits() -> bool:
    """Whether somebody has typed, or pasted, a further line already."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return bool(select.select([sys.stdin], [], [], MORE_WITHIN)[0])
    except (OSError, ValueError):  # Windows waits for sockets alone
        return False
