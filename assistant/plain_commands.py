"""The commands of line mode: the same as in the full screen, as far as lines can do them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import AssistantError, BadInputError
from assistant.history import History, snippet_parts
from assistant.history.export import as_text, exported, local_time
from assistant.history.files import export_target, free_path, slug
from assistant.interrupt import stop_on_interrupt
from assistant.options import read_options, shown_options
from assistant.session import ChatSession
from assistant.text import sanitize_line

if TYPE_CHECKING:
    from assistant.plain import PlainConversation

LISTED = 20


@dataclass(frozen=True)
class PlainCommand:
    """A command: what may follow it, one line of help, and what it does."""

    argument: str
    help: str
    run: Callable[[str], None]


class PlainCommands:
    """The commands of one conversation in line mode.

    Attributes:
        table: by name, in the order that /help shows.
    """

    def __init__(self, conversation: PlainConversation) -> None:
        self._talk = conversation
        self._listed: list[str] = []  # ids by number, as /history or /search showed them
        self.table = {
            "paste": PlainCommand(
                "", "take several lines, up to one with a single dot", lambda _: self._talk.paste()
            ),
            "new": PlainCommand("", "begin a new conversation", self._new),
            "private": PlainCommand("", "begin one that never touches the disk", self._private),
            "again": PlainCommand("", "answer the last question once more", self._again),
            "regenerate": PlainCommand("", "the same", self._again),
            "continue": PlainCommand("", "go on with an answer that was stopped", self._continue),
            "edit": PlainCommand("TEXT", "ask this instead of the last question", self._edit),
            "versions": PlainCommand("[N]", "the answers to the last question; take N", self._pick),
            "history": PlainCommand("", "list conversations", self._history),
            "search": PlainCommand("TEXT", "search all conversations", self._search),
            "open": PlainCommand("N", "go on with one of the list", self._open),
            "show": PlainCommand("", "read this conversation again", self._show),
            "rename": PlainCommand("TITLE", "rename this conversation", self._rename),
            "pin": PlainCommand("", "keep it at the top of the list, or let go", self._pin),
            "export": PlainCommand("[FORMAT] [FILE]", "write it to a file", self._export),
            "delete": PlainCommand("", "delete this conversation for good", self._delete),
            "system": PlainCommand("[TEXT]", "show or change the system prompt", self._system),
            "options": PlainCommand("[NAME=VALUE]", "show or change the sampling", self._options),
            "help": PlainCommand("", "show this list", self._help),
            "quit": PlainCommand(
                "", "leave (as Ctrl-D does); Ctrl-C stops an answer", lambda _: None
            ),
        }

    def _help(self, _argument: str) -> None:
        rows = [(f"/{name} {c.argument}".rstrip(), c.help) for name, c in self.table.items()]
        plugins = self._talk.slash_commands.values()
        rows += [(f"/{command.name}", command.help) for command in plugins]
        width = max(len(left) for left, _ in rows) + 2
        for left, right in rows:
            self._talk.tell(f"{sanitize_line(left):<{width}}{sanitize_line(right)}")

    # --- conversations -------------------------------------------------------------------

    def _new(self, _argument: str) -> None:
        talk = self._talk
        talk.session = ChatSession(talk.history, talk.model)
        talk.tell("A new conversation begins.")

    def _private(self, _argument: str) -> None:
        talk = self._talk
        talk.session = ChatSession(History(None), talk.model)
        talk.tell("A private conversation begins; it is gone when you leave it.")

    def _kept(self) -> tuple[History, str]:
        session = self._talk.session
        if session.conversation_id is None:
            raise BadInputError("There is no conversation yet", "Ask something first")
        return session.history, session.conversation_id

    def _history(self, _argument: str) -> None:
        conversations = self._talk.history.conversations(limit=LISTED)
        self._listed = [conversation.id for conversation in conversations]
        for number, c in enumerate(conversations, 1):
            pin = "pinned, " if c.pinned else ""
            self._talk.tell(f"{number}. {sanitize_line(c.title) or 'Untitled'} ({pin}"
                            f"{local_time(c.updated)})")  # fmt: skip
        self._talk.tell("/open N goes on with one." if conversations else "Nothing here yet.")

    def _search(self, text: str) -> None:
        if not text:
            raise BadInputError("Search for what?", "/search TEXT")
        hits = self._talk.history.search(text, limit=LISTED)
        self._listed = [hit.conversation_id for hit in hits]
        for number, hit in enumerate(hits, 1):
            found = "".join(f"*{t}*" if marked else t for t, marked in snippet_parts(hit.snippet))
            self._talk.tell(f"{number}. {sanitize_line(hit.title, 60)}: {sanitize_line(found)}")
        self._talk.tell("/open N goes on with one." if hits else "Nothing found.")

    def _open(self, argument: str) -> None:
        talk = self._talk
        number = int(argument) if argument.isdecimal() else 0
        known = 1 <= number <= len(self._listed)
        wanted = self._listed[number - 1] if known else argument
        if not wanted:
            raise BadInputError("Open which?", "/history lists conversations, /open N opens one")
        session = ChatSession(talk.history, talk.model, conversation_id=wanted)
        talk.session = session
        title = talk.history.conversation(wanted).title
        talk.tell(f"You are in: {sanitize_line(title) or 'Untitled'}. /show reads it again.")

    def _show(self, _argument: str) -> None:
        history, conversation_id = self._kept()
        conversation = history.conversation(conversation_id)
        self._talk.say(as_text(conversation, history.messages(conversation.id)))

    def _rename(self, title: str) -> None:
        history, conversation_id = self._kept()
        history.rename(conversation_id, title)
        self._talk.tell("Renamed.")

    def _pin(self, _argument: str) -> None:
        history, conversation_id = self._kept()
        pinned = not history.conversation(conversation_id).pinned
        history.pin(conversation_id, pinned)
        self._talk.tell("Pinned." if pinned else "No longer pinned.")

    def _export(self, argument: str) -> None:
        history, conversation_id = self._kept()
        form, path = export_target(argument)
        path = free_path(path, form, slug(history.conversation(conversation_id).title))
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(exported(history, conversation_id, form))
        except OSError as error:
            raise AssistantError(f"{path} cannot be written ({error.strerror})") from error
        self._talk.tell(f"Written to {path}")

    def _delete(self, _argument: str) -> None:
        history, conversation_id = self._kept()
        if not self._agreed("Delete this conversation for good? [y/N] "):
            return
        history.delete(conversation_id)
        self._new("")

    def _agreed(self, question: str) -> bool:
        try:
            return self._talk.read_line(question).strip().lower() in {"y", "yes"}
        except EOFError:
            return False

    # --- answers -------------------------------------------------------------------------

    def _again(self, _argument: str) -> None:
        with stop_on_interrupt() as cancel:
            self._talk.stream(self._talk.session.regenerate(cancel))

    def _continue(self, _argument: str) -> None:
        with stop_on_interrupt() as cancel:
            self._talk.stream(self._talk.session.continue_answer(cancel))

    def _edit(self, text: str) -> None:
        session = self._talk.session
        question = next((m for m in reversed(session.messages()) if m.role == "user"), None)
        if question is None:
            raise BadInputError("There is no question to edit yet")
        if not text:
            self._talk.tell(f"The last question: {sanitize_line(question.content, 400)}")
            self._talk.tell("/edit TEXT asks TEXT instead.")
            return
        with stop_on_interrupt() as cancel:
            self._talk.stream(session.edit(question.id, text, cancel))

    def _pick(self, argument: str) -> None:
        session = self._talk.session
        answer = session.last_answer
        if answer is None:
            raise BadInputError("There is no answer yet")
        versions = session.history.siblings(answer.id)
        if argument.isdecimal() and 1 <= int(argument) <= len(versions):
            chosen = versions[int(argument) - 1]
            session.history.select(chosen.id)
            self._talk.say(chosen.content)
            return
        for number, version in enumerate(versions, 1):
            mark = " (this one)" if version.id == answer.id else ""
            self._talk.tell(f"{number}. {sanitize_line(version.content, 120)}{mark}")

    def _system(self, text: str) -> None:
        session = self._talk.session
        if text:
            session.set_up(system_prompt=text)
            self._talk.tell("The system prompt is changed for this conversation.")
        else:
            self._talk.tell(session.system_prompt or "There is no system prompt.")

    def _options(self, text: str) -> None:
        session = self._talk.session
        if text.strip().lower() == "reset":
            session.set_up(session.model.options)
        elif text:
            session.set_up(read_options(text, session.options))
        self._talk.tell(f"Answers are sampled with: {shown_options(session.options)}")
