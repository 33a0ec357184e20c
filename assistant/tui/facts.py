"""What workers tell the screen: facts, posted from worker threads, handled by the screen.

Workers never touch widgets. ``run`` numbers the piece of work a fact belongs to, so that a late
fact of a stopped one is recognised and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from assistant.chat import ChatModel, Completion
from assistant.errors import AssistantError
from assistant.plugin_api import Report


@dataclass
class ModelLoaded(Message):
    """The model can be asked."""

    model: ChatModel


@dataclass
class ModelFailed(Message):
    """The model is missing or damaged."""

    error: AssistantError


@dataclass
class PluginsLoaded(Message):
    """The plugins are imported; asking for what they add is fast from now on."""


@dataclass
class Warned(Message):
    """Something went wrong that a person should know of, and the program goes on."""

    line: str


@dataclass
class AnswerStarted(Message):
    """The first piece of an answer is there."""

    run: int


@dataclass
class AnswerGrew(Message):
    """More of the answer is there."""

    run: int
    text: str


@dataclass
class AnswerFinished(Message):
    """The answer ended, by itself or because it was stopped."""

    run: int
    completion: Completion


@dataclass
class AnswerFailed(Message):
    """The answer could not be given; what had come of it is stored."""

    run: int
    error: AssistantError


@dataclass
class TextShortened(Message):
    """What is left of a message that was too long; "" when nothing of it fits."""

    text: str
    editing: str


@dataclass
class CheckAdvanced(Message):
    """A plugin's job reports progress in [0, 1]."""

    fraction: float


@dataclass
class CheckFinished(Message):
    """A plugin's job has a result."""

    result: Report | str


@dataclass
class CheckFailed(Message):
    """A plugin's job failed."""

    error: AssistantError
