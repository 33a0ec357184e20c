"""A conversation between a person and a model, stored as it happens; every front door uses it."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Generator
from threading import Event
from typing import Any, TypeAlias

from assistant.chat import ChatModel, Chunk, Completion, GenerationOptions
from assistant.conversation import Message
from assistant.errors import AssistantError, BadInputError, ModelError, StorageError
from assistant.handbook.reading import Source, fitted_prompt
from assistant.history import History, MessageStatus, StoredMessage
from assistant.options import differences, restored_options
from assistant.text import sanitize_line
from assistant.window import RESERVED_FOR_ANSWER, fit_window

# A generator, so that a reader that goes away can close it: the answer is then stored as stopped.
Stream: TypeAlias = Generator[Chunk | Completion, None, None]
ANOTHER_TEMPERATURE, ANOTHER_TOP_P = 0.7, 0.9  # of a second answer where the first was greedy
FLUSH_SECONDS = 0.4  # an answer is stored at least twice a second while it is said


class ChatSession:
    """One conversation between a person and a model.

    Args:
        history: where it is kept; ``History(None)`` keeps it in memory.
        model: who answers.
        options: how answers are sampled; None takes the conversation's, for a new one the
            model's defaults.
        system_prompt: None takes the conversation's, for a new one the model's; "" sends none.
        conversation_id: the conversation to go on with; None begins one with the first question.

    Attributes:
        conversation_id: None until the first question is stored.
        options: may be changed between answers.
        dropped_messages: how many of the oldest messages the last prompt left out because the
            model's window is full.
        sources: the handbook's entries that the last prompt carries.
        handbook_error: why no entry could be looked for; the answer itself went on.
        storage_error: why the last answer could not be stored; the answer itself went on.

    Raises:
        BadInputError: there is no such conversation.
    """

    def __init__(
        self,
        history: History,
        model: ChatModel,
        options: GenerationOptions | None = None,
        system_prompt: str | None = None,
        conversation_id: str | None = None,
    ) -> None:
        self.history = history
        self.model = model
        self.options = model.options if options is None else options
        self.conversation_id: str | None = None
        self.dropped_messages = 0
        self.sources: tuple[Source, ...] = ()
        self.handbook_error: ModelError | None = None
        self.storage_error: StorageError | None = None
        if conversation_id is not None:
            conversation = history.conversation(conversation_id)
            self.conversation_id = conversation.id
            if system_prompt is None:
                system_prompt = conversation.system_prompt
            if options is None:
                self.options = restored_options(conversation.options, model.options)
        self.system_prompt = model.system_prompt if system_prompt is None else system_prompt

    def set_up(
        self, options: GenerationOptions | None = None, system_prompt: str | None = None
    ) -> None:
        """Change how the next answers are made; the conversation remembers it."""
        if options is not None:
            self.options = options
        if system_prompt is not None:
            self.system_prompt = system_prompt
        if self.conversation_id is not None:
            changed = differences(self.options, self.model.options)
            self.history.set_up(self.conversation_id, system_prompt, changed)

    def preview(self, question: str | None = None) -> list[Message]:
        """Return what would be sent now; sets ``dropped_messages``.

        Raises:
            TooLongError: the question is longer than the model's window.
        """
        return self._prompt(self.messages(), question if question and question.strip() else None)

    def fits(self, question: str) -> bool:
        """Whether a question leaves room for an answer in the model's window."""
        room = self.model.context_length - min(self.options.max_tokens, RESERVED_FOR_ANSWER)
        return self.model.count_tokens([*self._system(), Message("user", question)]) <= room

    def messages(self) -> list[StoredMessage]:
        """Return the messages of the current branch, oldest first."""
        return self.history.messages(self.conversation_id) if self.conversation_id else []

    @property
    def last_answer(self) -> StoredMessage | None:
        """The last answer of the current branch."""
        return next((m for m in reversed(self.messages()) if m.role == "assistant"), None)

    def ask(self, text: str, cancel: Event) -> Stream:
        """Store a question and stream the answer.

        The question is checked and committed when this returns, before the model is asked.

        Raises:
            BadInputError: the question is empty or longer than the model's window; nothing is
                stored then.
            StorageError: the question could not be stored.
        """
        return self._ask(text, None, self.messages(), cancel)

    def edit(self, message_id: str, text: str, cancel: Event) -> Stream:
        """Ask another question in the place of an earlier one, as a new branch; see ``ask``."""
        from assistant.history import ROOT

        edited = self.history.message(message_id)
        branch = self.messages()
        ids = [message.id for message in branch]
        if edited.role != "user" or edited.id not in ids:
            raise BadInputError("Only a question of this conversation can be edited")
        before = branch[: ids.index(edited.id)]
        return self._ask(text, edited.parent_id or ROOT, before, cancel)

    def regenerate(self, cancel: Event, message_id: str = "") -> Stream:
        """Answer a question once more; the new answer is a sibling of the old one.

        Where the old one was greedy, or of a fixed seed, this one is sampled anew: it would be
        the same again.

        Args:
            message_id: the question or its answer; empty takes the last question.

        Raises:
            BadInputError: nothing was asked yet.
        """
        branch = self.messages()
        if message_id:
            ids = [message.id for message in branch]
            branch = branch[: ids.index(message_id) + 1 if message_id in ids else 0]
        answered = False
        while branch and branch[-1].role != "user":
            answer = branch.pop()
            answered = answered or answer.status == "complete"
        if not branch:
            raise BadInputError("There is no question to answer yet")
        prompt = self._prompt(branch)
        options = self._sampled_options(another=answered)
        answer = self.history.begin_answer(
            branch[-1].id, self.model.name, dataclasses.asdict(options)
        )
        return self._stream(prompt, options, answer, cancel)

    def continue_answer(self, cancel: Event) -> Stream:
        """Go on with an answer that was stopped, interrupted, or cut by a limit.

        Only what is new is yielded; the stored answer holds both.

        Raises:
            BadInputError: the last message is no answer, or one that ended by itself.
        """
        branch = self.messages()
        if not branch or branch[-1].role != "assistant":
            raise BadInputError("There is no answer to continue")
        answer = branch[-1]
        if answer.status == "complete" and answer.statistics.get("stop_reason") == "end":
            raise BadInputError("The last answer is complete")
        if answer.status == "streaming":
            raise BadInputError("The last answer is still being said")
        prompt = self._prompt(branch if answer.content.strip() else branch[:-1])
        answer = self.history.resume_answer(answer.id)
        return self._stream(prompt, self._sampled_options(), answer, cancel)

    def _ask(
        self, text: str, parent_id: str | None, before: list[StoredMessage], cancel: Event
    ) -> Stream:
        if not text.strip():
            raise BadInputError("The question is empty")
        prompt = self._prompt(before, text)
        if self.conversation_id is None:
            conversation = self.history.create_conversation(self.model.name, self.system_prompt)
            self.conversation_id = conversation.id
            if changed := differences(self.options, self.model.options):
                self.history.set_up(conversation.id, options=changed)
        question = self.history.add_user_message(self.conversation_id, text, parent_id)
        options = self._sampled_options()
        answer = self.history.begin_answer(
            question.id, self.model.name, dataclasses.asdict(options)
        )
        return self._stream(prompt, options, answer, cancel)

    def _sampled_options(self, another: bool = False) -> GenerationOptions:
        options = self.options
        if another and options.temperature == 0:  # greedily it would be the same once more
            options = options.updated(temperature=ANOTHER_TEMPERATURE, top_p=ANOTHER_TOP_P)
        # Drawn here, not by the sampler, so that the answer's row can replay it.
        if options.temperature > 0 and (another or options.seed is None):
            return options.updated(seed=secrets.randbelow(2**31))
        return options

    def _system(self) -> list[Message]:
        return [Message("system", self.system_prompt)] if self.system_prompt.strip() else []

    def _prompt(self, branch: list[StoredMessage], question: str | None = None) -> list[Message]:
        messages = [Message(m.role, m.content) for m in branch if m.content.strip()]
        if question is not None:
            messages.append(Message("user", question))
        system = self._system()
        self.handbook_error = None
        try:
            prompt = fitted_prompt(system, messages, self.model, self.options.max_tokens)
        except ModelError as error:
            self.handbook_error, self.sources = error, ()
            plain, self.dropped_messages = fit_window(
                system, messages, self.model, self.options.max_tokens
            )
            return plain
        self.dropped_messages, self.sources = prompt.dropped, prompt.sources
        return prompt.messages

    def _stream(
        self,
        prompt: list[Message],
        options: GenerationOptions,
        answer: StoredMessage,
        cancel: Event,
    ) -> Stream:
        # The facts of this prompt are noted now: another may be looked at while it streams.
        facts: dict[str, Any] = {}
        if self.dropped_messages:
            facts["dropped_messages"] = self.dropped_messages
        if self.sources:
            facts["sources"] = [source.to_json() for source in self.sources]
        return self._said(prompt, options, answer, cancel, facts)

    def _said(
        self,
        prompt: list[Message],
        options: GenerationOptions,
        answer: StoredMessage,
        cancel: Event,
        facts: dict[str, Any],
    ) -> Stream:
        said = [answer.content] if answer.content else []
        completion: Completion | None = None
        status: MessageStatus = "interrupted"
        error = ""
        self.storage_error = None
        flushed = time.monotonic()
        try:
            for event in self.model.stream(prompt, options, cancel):
                if isinstance(event, Completion):
                    completion = event
                    status = "stopped" if event.stop_reason == "stopped" else "complete"
                    # Stored before it is yielded: whoever has the completion may close the stream.
                    self._finish(answer, said, status, completion, facts)
                else:
                    said.append(event.text)
                    if time.monotonic() - flushed >= FLUSH_SECONDS:
                        self._flush(answer, said)
                        flushed = time.monotonic()
                yield event
        except (GeneratorExit, KeyboardInterrupt):
            status = "stopped"
            raise
        except Exception as failure:
            status = "failed"
            kind = "" if isinstance(failure, AssistantError) else f"{type(failure).__name__}: "
            error = sanitize_line(f"{kind}{getattr(failure, 'message', failure)}")
            raise
        finally:
            if completion is None:
                self._finish(answer, said, status, None, facts, error)

    def _flush(self, answer: StoredMessage, said: list[str]) -> None:
        try:
            self.history.update_answer(answer.id, "".join(said))
        except StorageError as error:
            self.storage_error = error

    def _finish(
        self,
        answer: StoredMessage,
        said: list[str],
        status: MessageStatus,
        completion: Completion | None,
        facts: dict[str, Any],
        error: str = "",
    ) -> None:
        statistics = dataclasses.asdict(completion) if completion else {}
        statistics.pop("text", None)
        statistics |= facts
        try:
            self.history.finish_answer(answer.id, "".join(said), status, statistics, error)
            self.storage_error = None  # what a flush could not store is stored now
        except StorageError as failure:
            self.storage_error = failure
