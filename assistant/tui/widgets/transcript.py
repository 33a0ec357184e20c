"""The conversation on the screen: questions, answers, cards and notices, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.question import Question
from assistant.tui.widgets.said import Said
from assistant.tui.widgets.timeline import Timeline
from assistant.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from assistant.history import StoredMessage

SaidT = TypeVar("SaidT", bound=Said)
LINES = 4  # that the arrow keys scroll through a message higher than the view
NEAR = 3  # lines from the end within which the view follows a growing answer


class Transcript(Timeline):
    """Follows its end until the person scrolls up, and again once they are back at the end.

    With the focus in it, one message is chosen and the keys below are about that one.
    """

    HELP = """\
Reading
Shift+Tab: Go from the composer to the messages
Up, Down: Choose a message
y: Copy it; c copies its last block of code
e: Edit a question: it is asked anew, the old one stays as a version
q: Quote it in the composer
r: Answer its question again
Left, Right: Its other versions
i: How it was made: model, options, speed
Enter: Fold or unfold a long question
Esc: Back to the composer
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Choose", show=False),
        Binding("down,j", "cursor(1)", "Choose", show=False),
        Binding("home", "edge(-1)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
        Binding("enter", "fold", "Fold", show=False),
        Binding("y", "screen.message('copy')", "Copy"),
        Binding("c", "screen.message('copy_code')", "Code"),
        Binding("q", "screen.message('quote')", "Quote"),
        Binding("e", "screen.message('edit')", "Edit"),
        Binding("r", "screen.message('again')", "Again"),
        Binding("left", "screen.message('version(-1)')", "Versions", key_display="←→"),
        Binding("right", "screen.message('version(1)')", "Version after", show=False),
        Binding("i", "screen.message('details')", "Details", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="transcript")

    def on_mount(self) -> None:
        """Follow the end from the start."""
        self.anchor()

    async def show(
        self,
        messages: Sequence[StoredMessage],
        versions: dict[str, tuple[str, ...]] | None = None,
        at: str = "",
    ) -> None:
        """Show a conversation from its end, or around the message ``at``; empty: the welcome."""
        await super().show(messages, versions, at)
        found = self.said(at)
        if found is None:
            self.follow()
        else:
            self.release_anchor()
            self.call_after_refresh(self.choose, found)

    @property
    def follows(self) -> bool:
        """Whether the end is in view, so that what grows there is seen."""
        return self.max_scroll_y - self.scroll_y <= NEAR

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.anchor()

    def show_start(self, widget: Widget) -> None:
        """Show a widget at the end from its first line, even where it is higher than the view."""

        def settled() -> None:
            if widget.is_mounted and widget.outer_size.height > self.size.height:
                self.release_anchor()
                self.scroll_to_widget(widget, animate=False, top=True)

        self.follow()
        self.call_after_refresh(settled)

    def focus_examples(self) -> bool:
        """Move to the welcome's examples; tell whether they are there."""
        welcome = self.query(Welcome)
        if welcome:
            welcome.first().focus_examples()
        return bool(welcome)

    # --- its messages --------------------------------------------------------------------

    def identify(self, question_id: str, answer_id: str) -> None:
        """Give the last question and the last answer their ids, once they are stored."""
        question, answer = self._last(Question), self._last(Answer)
        if question is not None:
            question.message_id = question_id
        if answer is not None:
            answer.message_id = answer_id

    def said(self, message_id: str) -> Said | None:
        """The mounted message of an id."""
        found = (said for said in self.query(Said) if said.message_id == message_id)
        return next(found, None) if message_id else None

    def _last(self, kind: type[SaidT]) -> SaidT | None:
        for entry in reversed(self._entries):
            if isinstance(entry.widget, kind):
                return entry.widget
        return None

    @property
    def last_answer(self) -> Answer | None:
        """The last answer on the screen."""
        return self._last(Answer)

    @property
    def last_question(self) -> str:
        """The last question on the screen, or empty."""
        question = self._last(Question)
        return question.content if question is not None else ""

    async def remove_answer(self) -> None:
        """Remove the answer to the last question, if it has one."""
        for entry in reversed(self._entries):
            if isinstance(entry.widget, Answer):
                await self.drop(entry.widget)
            if isinstance(entry.widget, Said):
                return

    async def take_back(self) -> None:
        """Remove the last question and its answer: it was not sent after all."""
        await self.remove_answer()
        question = self._last(Question)
        if question is not None:
            await self.drop(question)
        if not self._entries:
            self.column.add_class("-empty")
            await self.column.mount(Welcome())

    # --- the chosen message --------------------------------------------------------------

    def choose(self, said: Said | None, at_end: bool = False) -> None:
        """Mark a message as the one that keys and buttons are about.

        Args:
            at_end: show its end, with what can be done, where it is higher than the view.
        """
        if self.chosen is not None and self.chosen is not said and self.chosen.is_mounted:
            self.chosen.choose(False)
        if said is not None and (said is not self.chosen or not said.has_class("-chosen")):
            said.choose(True)
            self.release_anchor()
            # once the row of what can be done is there
            if at_end:
                self.call_after_refresh(self.scroll_end, animate=False)
            else:
                self.call_after_refresh(self.scroll_to_widget, said, animate=False)
        self.chosen = said
        self.screen.refresh_bindings()

    @on(Said.Pointed)
    def _pointed(self, event: Said.Pointed) -> None:
        event.stop()
        self.focus(scroll_visible=False)
        self.choose(event.said)

    def on_focus(self, _event: events.Focus) -> None:
        """Choose the last message, unless one is chosen."""
        if self.chosen is None or not self.chosen.is_mounted:
            last = self._last(Said)
            self.choose(last, at_end=self.follows)

    def on_blur(self, _event: events.Blur) -> None:
        """Choose nothing any more; a reader who was at the end follows it again."""
        if self.app.app_focus:
            self.choose(None)
            if self.follows:
                self.follow()

    def action_cursor(self, step: int) -> None:
        """Go to the message before (-1) or after (1), through a high one line by line."""
        said = self.chosen
        if said is None or not said.is_mounted:
            self.choose(self._last(Said))
            return
        region = said.virtual_region.translate(self.column.virtual_region.offset)
        view = self.scrollable_content_region.height
        top, bottom = self.scroll_y, self.scroll_y + view
        if step > 0 and region.bottom > bottom + 1:
            self.scroll_relative(y=min(LINES, region.bottom - bottom), animate=False)
            return
        if step < 0 and region.y < top:
            self.scroll_relative(y=-min(LINES, top - region.y), animate=False)
            return
        all_said = list(self.query(Said))
        place = all_said.index(said) + step
        if 0 <= place < len(all_said):
            self.choose(all_said[place])
        else:
            self.scroll_relative(y=LINES * step, animate=False)

    async def action_edge(self, step: int) -> None:
        """Go to the first or to the last message, wherever the view is."""
        if step > 0:
            await self._go_to_end()
        else:
            await self._go_to_start()
        all_said = list(self.query(Said))
        if all_said:
            self.choose(all_said[-1 if step > 0 else 0])

    def action_fold(self) -> None:
        """Fold or unfold a long question."""
        if isinstance(self.chosen, Question):
            self.chosen.fold()
