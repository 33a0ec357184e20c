"""One answer at a time on a worker thread: it posts facts and never touches a widget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event

from textual.widget import Widget

from assistant.chat import Chunk, Completion
from assistant.errors import AssistantError, unexpected
from assistant.tui.facts import AnswerFailed, AnswerFinished, AnswerGrew, AnswerStarted

BATCH_SECONDS = 0.04  # 25 updates a second: smooth to the eye, cheap for the terminal

Stream = Callable[[Event], Iterator[Chunk | Completion]]


class Answering:
    """Runs the streams of a chat session for the widget that its facts are posted to."""

    def __init__(self, target: Widget) -> None:
        self._target = target
        self._cancel = Event()
        self.run = 0
        self.busy = False

    def start(self, stream: Stream) -> int:
        """Start a stream on a worker thread; return its number."""
        self.run += 1
        self._cancel = Event()
        self.busy = True
        self._target.run_worker(
            partial(self._pump, self.run, stream, self._cancel),
            name=f"answer {self.run}",
            group="answer",
            thread=True,
            exit_on_error=False,
        )
        return self.run

    def stop(self) -> None:
        """Ask the running stream to stop; it ends with ``AnswerFinished`` as usual."""
        self._cancel.set()

    def abandon(self) -> None:
        """Stop the running stream and take no notice of its facts."""
        self.stop()
        self.run += 1
        self.busy = False

    def is_current(self, run: int) -> bool:
        """Tell whether a fact is of the stream that runs now."""
        return run == self.run

    def finished(self) -> None:
        """Note that the stream has ended."""
        self.busy = False

    def _pump(self, run: int, stream: Stream, cancel: Event) -> None:
        post = self._target.post_message
        try:
            completion: Completion | None = None
            batch: list[str] = []
            posted = 0.0
            for item in stream(cancel):
                if isinstance(item, Completion):
                    completion = item
                    break
                if not posted:
                    post(AnswerStarted(run))
                batch.append(item.text)
                if time.monotonic() - posted >= BATCH_SECONDS:
                    post(AnswerGrew(run, "".join(batch)))
                    batch.clear()
                    posted = time.monotonic()
            if batch:
                post(AnswerGrew(run, "".join(batch)))
            if completion is None:
                raise AssistantError("The answer ended without a result")
            post(AnswerFinished(run, completion))
        except AssistantError as error:
            post(AnswerFailed(run, error))
        except Exception as error:  # whatever a model does, the program stays usable
            post(AnswerFailed(run, unexpected("The answer failed", error)))
