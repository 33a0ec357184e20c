"""The context lens: exactly what the model will read, token by token."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from assistant.chat import ShowsTokens
from assistant.conversation import Message
from assistant.errors import TooLongError
from assistant.session import ChatSession
from assistant.text import sanitize
from assistant.tui.themes import MUTED

MOST_SHOWN = 20_000  # tokens
SHADES = ("on $primary 22%", "on $secondary 22%")  # neighbours differ, so that one sees each token
FEW_COLOURS = ("reverse", "")  # where both shades would be black


class LensScreen(ModalScreen[None]):
    """Shows the next prompt.

    Args:
        session: whose prompt.
        draft: what is written in the composer.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+l,q,enter", "dismiss(None)", "Back"),
    ]

    def __init__(self, session: ChatSession, draft: str = "") -> None:
        super().__init__()
        self._session = session
        self._draft = draft if not draft.startswith("/") else ""

    def compose(self) -> ComposeResult:
        """Lay out what is left out, what stays, and the tokens."""
        session = self._session
        problem = ""
        try:
            prompt = session.preview(self._draft)
            dropped = session.dropped_messages
        except TooLongError as error:
            problem, dropped = error.message, 0
            prompt = [Message("user", self._draft)]
        with VerticalScroll(id="lens"):
            yield Static("What the model will read", markup=False, classes="dialog-title")
            yield Static(self._summary(prompt, problem), markup=False, classes="lens-summary")
            if dropped:
                yield Static("Falls out: the window is full", markup=False, classes="lens-heading")
                for message in session.messages()[:dropped]:
                    text = f"{message.role}: {' '.join(sanitize(message.content).split())}"
                    yield Static(Content(text[:300]), markup=False, classes="note lens-out")
            pinned = "The system prompt and the last question always stay" if prompt else ""
            yield Static(pinned, markup=False, classes="note lens-heading")
            yield Static(self._tokens(prompt), markup=False, id="lens-tokens")
            yield Static("Esc goes back", markup=False, classes="note page-note")

    def _summary(self, prompt: list[Message], problem: str) -> Content:
        model = self._session.model
        count = model.count_tokens(prompt) if prompt else 0
        parts: list[str | tuple[str, str]] = [
            f"{count:,} of {model.context_length:,} tokens",
            (f", {max(0, model.context_length - count):,} left for the answer", MUTED),
        ]
        if problem:
            parts.append((f"\n{problem}", "$error"))
        return Content.assemble(*parts)

    def _tokens(self, prompt: list[Message]) -> Content:
        model = self._session.model
        if not prompt:
            return Content.styled("Nothing yet", MUTED)
        if not isinstance(model, ShowsTokens):
            return Content("\n\n".join(f"{m.role}\n{sanitize(m.content)}" for m in prompt))
        few = self.app.no_color or self.app.console.color_system in {"standard", None}
        shades = FEW_COLOURS if few else SHADES
        parts: list[str | tuple[str, str]] = []
        for number, (text, special) in enumerate(model.tokens(prompt)[:MOST_SHOWN]):
            shown = sanitize(text).replace("\n", "↵\n")
            parts.append((shown, f"bold {MUTED}" if special else shades[number % len(shades)]))
        return Content.assemble(*parts)
