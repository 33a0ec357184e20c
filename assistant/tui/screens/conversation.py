"""What is open and being answered: the conversation, the stream of an answer.

Every change of state happens on the interface's thread, in handlers of facts that workers post.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from textual import on

from assistant.chat import Chunk, Completion
from assistant.errors import TooLongError
from assistant.history import History, StoredMessage
from assistant.session import ChatSession
from assistant.tui.answering import Answering
from assistant.tui.facts import (
    AnswerFailed,
    AnswerFinished,
    AnswerGrew,
    AnswerStarted,
)
from assistant.tui.painting import Painting
from assistant.tui.screens.loading import LoadingScreen, LoadModel
from assistant.tui.screens.rooms import WIDE
from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.entry import note_of
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.question import Question
from assistant.tui.widgets.too_long import TooLong

if TYPE_CHECKING:
    from assistant.tui.app import Plugins

SessionStream = Callable[[ChatSession, Event], Iterator[Chunk | Completion]]


@dataclass(frozen=True)
class Asked:
    """The question being answered, to give back if it is refused; see ``Desk.Sent``."""

    text: str
    fixed: int = 0
    editing: str = ""


class ConversationScreen(LoadingScreen):
    """The rooms with one conversation in them.

    Attributes:
        history: what is kept.
        store: where the open conversation is: the history, or memory for a private one.
        conversation_id: the open conversation; None until its first question is stored.
        last_answer: as it is stored.
    """

    def __init__(
        self,
        history: History,
        load_model: LoadModel,
        plugins: Plugins,
        conversation_id: str | None = None,
        notice: str = "",
    ) -> None:
        super().__init__(load_model, plugins)
        self.history = self.store = history
        self.conversation_id = conversation_id
        self.last_answer: StoredMessage | None = None
        self._notice = notice
        self._answering = Answering(self)
        self._session: ChatSession | None = None
        self._asked: Asked | None = None
        self._painting = Painting(self)
        self._waiting = False  # a question was sent before the model was there

    async def on_mount(self) -> None:
        """Be painted; what takes longer comes after that."""
        self.sidebar.display = self.app.size.width >= WIDE
        with self.problems_shown():
            if self.conversation_id is None and (newest := self.history.latest()):
                self.conversation_id = newest.id
        if self.conversation_id is None:
            await self.open_conversation(None)
        else:
            self.conversation_changed()
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        """Show the conversation, then load plugins and model, which do not wait for each other."""
        with self.problems_shown():
            # another program may keep the database for seconds
            await asyncio.to_thread(self.history.recover)
        if self.conversation_id is not None and not self.busy:
            await self.open_conversation(self.conversation_id)
        for line in (self._notice, *self.history.warnings):
            if line:
                await self.transcript.note(Notice(line, kind="problem"))
        self.load_plugins()
        self.call_after_refresh(self.load_model)

    def on_unmount(self) -> None:
        """Let the worker end."""
        self._answering.stop()

    @property
    def busy(self) -> bool:
        """Whether an answer is being given or waited for."""
        return self._answering.busy or self._waiting

    @property
    def can_continue(self) -> bool:
        """Whether the last answer ended early."""
        answer = self.last_answer
        if answer is None or self.busy or answer.status == "streaming":
            return False
        return answer.status != "complete" or answer.statistics.get("stop_reason") != "end"

    def session(self) -> ChatSession | None:
        """The open conversation with the model; None while there is no model."""
        if self._session is None and self.model is not None:
            with self.problems_shown():
                self._session = ChatSession(
                    self.store, self.model, conversation_id=self.conversation_id
                )
        return self._session

    async def model_came(self) -> None:
        """Ask what waited."""
        self._session = None
        if self._waiting:
            self._waiting = False
            self._begin_asking()

    async def model_failed(self) -> None:
        """Give back what waited."""
        if self._waiting:
            self._waiting = False
            await self._take_back()

    # --- the conversation ----------------------------------------------------------------

    async def open_conversation(self, conversation_id: str | None, at: str = "") -> None:
        """Show a conversation of ``store``, or an empty one; what is being answered is stopped.

        Args:
            at: a message to go to.
        """
        self._answering.abandon()
        self._waiting = False
        messages: list[StoredMessage] = []
        versions: dict[str, tuple[str, ...]] = {}
        with self.problems_shown():
            if conversation_id is not None:
                messages = self.store.messages(conversation_id)
                versions = self.store.versions(conversation_id)
        self.conversation_id = conversation_id if messages else None
        self._session = None
        self.last_answer = next((m for m in reversed(messages) if m.role == "assistant"), None)
        await self.transcript.show(messages, versions, at)
        self.status.change(tokens_per_second=0.0, first_token_ms=0.0)
        self.conversation_changed()

    def conversation_changed(self) -> None:
        """Show what follows from the stored state: the list, the context in use, the keys."""
        private = self.store is not self.history
        with self.problems_shown():
            current = None if private else self.conversation_id
            self.sidebar.show(self.history.conversations, current)
        statistics = self.last_answer.statistics if self.last_answer else {}
        used = statistics.get("prompt_tokens", 0) + statistics.get("output_tokens", 0)
        self.status.change(
            used=int(used),
            left_out=int(statistics.get("dropped_messages", 0)),
            private=private or self.history.path is None,
        )
        if not self.busy:
            self.status.change(state=self.resting_state())
        self.refresh_bindings()

    # --- asking --------------------------------------------------------------------------

    async def ask(self, question: str, fixed: int = 0, editing: str = "") -> None:
        """Send a question; it stays in the composer when it cannot be sent now.

        Args:
            fixed: characters of it before a quoted text.
            editing: id of the question it takes the place of.
        """
        if self.busy:
            self.app.notify("One question at a time. Esc stops the answer", markup=False)
            return
        if self.model_error is not None:
            self.complain(self.model_error)
            return
        self.desk.clear()
        if editing:
            await self.transcript.cut(editing)
        await self.transcript.add(Question(question), Answer(waiting=True))
        self.transcript.follow()
        self._asked = Asked(question, fixed, editing)
        if self.model is None:
            self._waiting = True
            self.refresh_bindings()
        else:
            self._begin_asking()

    def _begin_asking(self) -> None:
        asked = self._asked
        if asked is None:
            return
        if asked.editing:
            self.begin(lambda session, cancel: session.edit(asked.editing, asked.text, cancel))
        else:
            self.begin(lambda session, cancel: session.ask(asked.text, cancel))
        self._asked = asked

    def begin(self, stream: SessionStream) -> None:
        """Start a stream of the session's; its answer is the last of the transcript."""
        session = self.session()
        if session is None:
            return
        self._asked = None
        self._answering.start(lambda cancel: stream(session, cancel))
        self.status.change(state="reading")
        self.refresh_bindings()

    async def stop_answer(self) -> bool:
        """Stop the answer, or take back a question that waits; tell whether there was one."""
        if self._waiting:
            self._waiting = False
            await self._take_back()
            self.refresh_bindings()
            return True
        if self._answering.busy:
            self._answering.stop()
            self.status.change(state="stopping")
            return True
        return False

    async def _take_back(self) -> None:
        """Return the question to the composer as if it had not been sent."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        if asked.editing:
            await self.open_conversation(self.conversation_id)
            self.desk.edit(asked.editing, asked.text)
        else:
            await self.transcript.take_back()
            self.desk.put_back(asked.text)

    @on(AnswerStarted)
    def _answer_started(self, fact: AnswerStarted) -> None:
        if self._answering.is_current(fact.run) and self._session is not None:
            self.conversation_id = self._session.conversation_id
            self.desk.accepted()
            self.conversation_changed()
            self.status.change(state="answering")

    @on(AnswerGrew)
    async def _answer_grew(self, fact: AnswerGrew) -> None:
        if self._answering.is_current(fact.run):
            await self._painting.grow(fact.text)

    @on(AnswerFinished)
    async def _answer_finished(self, fact: AnswerFinished) -> None:
        if not self._answering.is_current(fact.run):
            self.conversation_changed()  # an abandoned one is stored, too
            return
        await self._settle()
        if not self.app.app_focus:
            self.app.bell()  # whoever went to another window meanwhile is called back
        completion = fact.completion
        self.status.change(
            tokens_per_second=completion.tokens_per_second,
            first_token_ms=completion.time_to_first_token_ms,
        )

    @on(AnswerFailed)
    async def _answer_failed(self, fact: AnswerFailed) -> None:
        if not self._answering.is_current(fact.run):
            return
        asked = await self._settle(refused=self._asked is not None)
        if asked is not None and isinstance(fact.error, TooLongError):
            await self.desk.ask_how_to_shorten(
                TooLong(fact.error, asked.text, asked.fixed, asked.editing)
            )
        else:
            self.complain(fact.error)

    async def _settle(self, refused: bool = False) -> Asked | None:
        """The answer ended: show what is stored; return the question if it came back."""
        self._answering.finished()
        session, widget = self._session, self.transcript.last_answer
        branch: list[StoredMessage] = []
        with self.problems_shown():
            if session is not None:
                self.conversation_id = session.conversation_id
                branch = session.messages()
                if session.storage_error is not None:
                    self.complain(session.storage_error)
        stored = next((m for m in reversed(branch) if m.role == "assistant"), None)
        asked = self._asked
        if refused and (stored is None or stored == self.last_answer):
            await self._take_back()  # too long, or it could not be stored: nothing was said
        else:
            asked = None
            self.desk.accepted()
            if widget is not None and stored is not None:
                await widget.finish(stored.content or None, note_of(stored))
                self.transcript.identify(stored.parent_id or "", stored.id)
            elif widget is not None:
                await widget.finish(None, "Failed")
        self.last_answer = stored
        self.mark_versions()
        self.conversation_changed()
        return asked

    def mark_versions(self) -> None:
        """Show at each message which of its versions it is."""
        with self.problems_shown():
            if self.conversation_id is not None:
                self.transcript.mark_versions(self.store.versions(self.conversation_id))
