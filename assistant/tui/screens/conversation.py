"""What is open and being answered: the model, the conversation, the stream of an answer.

Every change of state happens on the interface's thread, in handlers of facts that workers post.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import TYPE_CHECKING

from textual import on

from assistant.chat import ChatModel, Chunk, Completion
from assistant.errors import AssistantError, BadInputError
from assistant.history import History, StoredMessage
from assistant.session import ChatSession
from assistant.tui.answering import Answering, unexpected
from assistant.tui.facts import (
    AnswerFailed,
    AnswerFinished,
    AnswerGrew,
    AnswerStarted,
    ModelFailed,
    ModelLoaded,
)
from assistant.tui.screens.rooms import WIDE, RoomsScreen
from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.notice import Notice
from assistant.tui.widgets.question import Question
from assistant.tui.widgets.transcript import note_of

if TYPE_CHECKING:
    from assistant.tui.app import Plugins

SessionStream = Callable[[ChatSession, Event], Iterator[Chunk | Completion]]


class ConversationScreen(RoomsScreen):
    """The rooms with one conversation in them.

    Attributes:
        conversation_id: the open conversation; None until its first question is stored.
    """

    def __init__(
        self,
        history: History,
        load_model: Callable[[], ChatModel],
        plugins: Plugins,
        conversation_id: str | None = None,
        notice: str = "",
    ) -> None:
        super().__init__(plugins)
        self.history = history
        self.conversation_id = conversation_id
        self.model: ChatModel | None = None
        self.model_error: AssistantError | None = None
        self.last_answer: StoredMessage | None = None
        self._load_model = load_model
        self._notice = notice
        self._answering = Answering(self)
        self._session: ChatSession | None = None
        self._waiting = ""  # a question sent before the model was there
        self._asked = ""  # the question being answered, to give back if it is refused

    async def on_mount(self) -> None:
        """Show the last conversation and begin to load the model; neither waits for the other."""
        self.sidebar.display = self.app.size.width >= WIDE
        self.load_model()
        conversation_id = self.conversation_id
        with self.problems_shown():
            if conversation_id is None and (newest := self.history.conversations(limit=1)):
                conversation_id = newest[0].id
        await self.open_conversation(conversation_id)
        for line in (self._notice, *self.history.warnings):
            if line:
                await self.transcript.mount(Notice(line, kind="problem"))

    def on_unmount(self) -> None:
        """Let the worker end."""
        self._answering.stop()

    @property
    def busy(self) -> bool:
        """Whether an answer is being given or waited for."""
        return self._answering.busy or bool(self._waiting)

    @property
    def can_continue(self) -> bool:
        """Whether the last answer ended early."""
        answer = self.last_answer
        if answer is None or self.busy or answer.status == "streaming":
            return False
        return answer.status != "complete" or answer.statistics.get("stop_reason") != "end"

    # --- the model -----------------------------------------------------------------------

    def load_model(self) -> None:
        """Load the model on a worker thread."""
        self.model_error = None
        self.status.change(model="", state="loading the model")
        self.run_worker(self._load_and_tell, name="model", thread=True, exit_on_error=False)

    def _load_and_tell(self) -> None:
        try:
            self.post_message(ModelLoaded(self._load_model()))
        except AssistantError as error:
            self.post_message(ModelFailed(error))
        except Exception as error:  # the history stays readable whatever a bundle does
            self.post_message(ModelFailed(unexpected("The model cannot be loaded", error)))

    @on(ModelLoaded)
    async def _model_loaded(self, fact: ModelLoaded) -> None:
        self.model = fact.model
        self.status.change(model=fact.model.name, state="ready", window=fact.model.context_length)
        if self._waiting:
            question, self._waiting = self._waiting, ""
            self._begin_asking(question)

    @on(ModelFailed)
    async def _model_failed(self, fact: ModelFailed) -> None:
        self.model_error = fact.error
        self.status.change(model="", state="no model", window=0)
        if self._waiting:
            await self._take_back(self._waiting)
            self._waiting = ""
        await self.transcript.add(Notice.problem(fact.error))
        self.refresh_bindings()

    # --- the conversation ----------------------------------------------------------------

    async def open_conversation(self, conversation_id: str | None) -> None:
        """Show a stored conversation, or an empty one; what is being answered is stopped."""
        self._answering.abandon()
        self._waiting = ""
        messages: list[StoredMessage] = []
        with self.problems_shown():
            if conversation_id is not None:
                messages = self.history.messages(conversation_id)
        self.conversation_id = conversation_id if messages else None
        self._session = None
        self.last_answer = next((m for m in reversed(messages) if m.role == "assistant"), None)
        await self.transcript.show(messages)
        self._note_versions()
        self.status.change(tokens_per_second=0.0, first_token_ms=0.0)
        self.conversation_changed()

    def conversation_changed(self) -> None:
        """Show what follows from the stored state: the list, the context in use, the keys."""
        with self.problems_shown():
            self.sidebar.show(self.history.conversations(), self.conversation_id)
        statistics = self.last_answer.statistics if self.last_answer else {}
        used = statistics.get("prompt_tokens", 0) + statistics.get("output_tokens", 0)
        self.status.change(used=int(used), left_out=int(statistics.get("dropped_messages", 0)))
        if not self.busy:
            self.status.change(state=self._resting_state())
        self.refresh_bindings()

    def _resting_state(self) -> str:
        if self.model is not None:
            return "ready"
        return "loading the model" if self.model_error is None else "no model"

    # --- asking --------------------------------------------------------------------------

    async def ask(self, question: str) -> None:
        """Send a question; it stays in the composer when it cannot be sent now."""
        if self.busy:
            self.app.notify("One question at a time. Esc stops the answer", markup=False)
            return
        if self.model_error is not None:
            self.complain(self.model_error)
            return
        self.desk.clear()
        await self.transcript.add(Question(question), Answer(waiting=True))
        self.transcript.follow()
        if self.model is None:
            self._waiting = question
            self.refresh_bindings()
        else:
            self._begin_asking(question)

    def _begin_asking(self, question: str) -> None:
        self._begin(lambda session, cancel: session.ask(question, cancel))
        self._asked = question

    async def regenerate(self) -> None:
        """Answer the last question again."""
        if self.busy or self.model is None or not self.transcript.last_question:
            return
        await self.transcript.remove_answer()
        await self.transcript.add(Answer(waiting=True))
        self.transcript.follow()
        self._begin(lambda session, cancel: session.regenerate(cancel))

    async def continue_answer(self) -> None:
        """Go on with the last answer where it ended."""
        answer = self.transcript.last_answer
        if self.model is None or answer is None or not self.can_continue:
            return
        answer.wait()
        self.transcript.follow()
        self._begin(lambda session, cancel: session.continue_answer(cancel))

    def _begin(self, stream: SessionStream) -> None:
        if self.model is None:
            return
        if self._session is None:
            self._session = ChatSession(
                self.history, self.model, conversation_id=self.conversation_id
            )
        session = self._session
        self._asked = ""
        self._answering.start(lambda cancel: stream(session, cancel))
        self.status.change(state="reading")
        self.refresh_bindings()

    async def stop_answer(self) -> bool:
        """Stop the answer, or take back a question that waits; tell whether there was one."""
        if self._waiting:
            question, self._waiting = self._waiting, ""
            await self._take_back(question)
            self.refresh_bindings()
            return True
        if self._answering.busy:
            self._answering.stop()
            self.status.change(state="stopping")
            return True
        return False

    async def _take_back(self, question: str) -> None:
        """Return a question to the composer as if it had not been sent."""
        for kind in (Answer, Question):
            widgets = self.transcript.query(kind)
            if widgets:
                await widgets.last().remove()
        self.desk.put_back(question)

    @on(AnswerStarted)
    def _answer_started(self, fact: AnswerStarted) -> None:
        if self._answering.is_current(fact.run) and self._session is not None:
            self.conversation_id = self._session.conversation_id
            self.conversation_changed()
            self.status.change(state="answering")

    @on(AnswerGrew)
    async def _answer_grew(self, fact: AnswerGrew) -> None:
        answer = self.transcript.last_answer
        if self._answering.is_current(fact.run) and answer is not None:
            await answer.grow(fact.text)

    @on(AnswerFinished)
    async def _answer_finished(self, fact: AnswerFinished) -> None:
        if not self._answering.is_current(fact.run):
            self.conversation_changed()  # an abandoned one is stored, too
            return
        await self._settle()
        completion = fact.completion
        self.status.change(
            tokens_per_second=completion.tokens_per_second,
            first_token_ms=completion.time_to_first_token_ms,
        )

    @on(AnswerFailed)
    async def _answer_failed(self, fact: AnswerFailed) -> None:
        if not self._answering.is_current(fact.run):
            return
        refused = isinstance(fact.error, BadInputError) and bool(self._asked)
        await self._settle(refused=refused)
        self.complain(fact.error)

    async def _settle(self, refused: bool = False) -> None:
        """The answer ended: show what is stored."""
        self._answering.finished()
        session, widget = self._session, self.transcript.last_answer
        stored: StoredMessage | None = None
        with self.problems_shown():
            if session is not None:
                self.conversation_id = session.conversation_id
                stored = session.last_answer
                if session.storage_error is not None:
                    self.complain(session.storage_error)
        if refused and (stored is None or stored == self.last_answer):
            await self._take_back(self._asked)
        elif widget is not None and stored is not None:
            await widget.finish(stored.content or None, note_of(stored))
        elif widget is not None:
            await widget.finish(None, "Failed")
        self.last_answer = stored
        self._note_versions()
        self.conversation_changed()

    def _note_versions(self) -> None:
        """Say under the last answer which of its versions it is, when there are several."""
        answer, widget = self.last_answer, self.transcript.last_answer
        if answer is None or widget is None:
            return
        with self.problems_shown():
            ids = [version.id for version in self.history.siblings(answer.id)]
            if len(ids) > 1:
                number = ids.index(answer.id) + 1
                widget.add_note(f"Version {number} of {len(ids)}, Alt+← and Alt+→ switch")

    async def show_version(self, step: int) -> None:
        """Show the version before (-1) or after (1) the last answer's; regenerating makes them."""
        if self.last_answer is None or self.busy:
            return
        with self.problems_shown():
            ids = [version.id for version in self.history.siblings(self.last_answer.id)]
            wanted = ids.index(self.last_answer.id) + step
            if 0 <= wanted < len(ids):
                self.history.select(ids[wanted])
                await self.open_conversation(self.conversation_id)
