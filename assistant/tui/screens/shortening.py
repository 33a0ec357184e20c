"""A question that is longer than the model reads: which part of it is sent, a person says."""

from __future__ import annotations

from functools import partial

from textual import on

from assistant.errors import AssistantError
from assistant.tui.facts import TextShortened
from assistant.tui.screens.conversation import ConversationScreen
from assistant.tui.widgets.too_long import TooLong
from assistant.window import shortened


class ShorteningScreen(ConversationScreen):
    """The conversation, with too long a question shortened as it was chosen."""

    @on(TooLong.Chosen)
    async def _shorten(self, event: TooLong.Chosen) -> None:
        event.stop()
        question, keep, session = event.question, event.keep, self.session()
        await question.remove()
        self.desk.composer.focus()
        if keep is None or session is None:
            return

        work = partial(shortened, question.text, keep, session.fits, question.fixed)

        def shorten() -> None:
            self.post_message(TextShortened(work(), question.editing))

        self.status.change(state="shortening")
        self.run_worker(shorten, name="shorten", thread=True, exit_on_error=False)

    @on(TextShortened)
    async def _shortened(self, fact: TextShortened) -> None:
        self.status.change(state=self.resting_state())
        if fact.text:
            await self.ask(fact.text, editing=fact.editing)
        else:
            self.complain(AssistantError("Nothing of it fits", "Start a new conversation"))
