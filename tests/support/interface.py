"""What tests of the interface share: a held model, a host with one plugin, waiting for a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event

from textual.pilot import Pilot

from assistant.chat import Chunk, Completion, GenerationOptions
from assistant.conversation import Message
from assistant.history import History
from assistant.plugin_api import Analyzer, Detector, Evidence, Report, SlashCommand
from assistant.testing import ScriptedChatModel
from assistant.tui.app import FrontdeskApp
from assistant.tui.widgets.answer import Answer
from assistant.tui.widgets.question import Question

MAIL = "From: bank@example.org\nSubject: Urgent\n\n" + "\n".join(
    f"Line {n} of the mail" for n in range(20)
)
REPORT = Report(
    kind="e-mail",
    verdict="spam",
    tone="bad",
    score=0.97,
    headline="It asks for a password [bold]now[/]",
    evidence=(Evidence("Presses for time", 1.4, "within 24 hours"), Evidence("Signed", -0.3)),
    details={"From": "bank@example.org"},
    advice=("Do not click",),
)


@dataclass
class HeldModel(ScriptedChatModel):
    """Says one word, then waits for ``go`` (or to be stopped) before it says the rest."""

    go: Event = field(default_factory=Event)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        """Yield the scripted answer, held after its first word."""
        for number, item in enumerate(super().stream(messages, options, cancel)):
            yield item
            while number == 0 and not cancel.is_set() and not self.go.wait(0.01):
                pass


def check_for_spam(text: str, progress: Callable[[float], None], cancel: Event) -> Report:
    """Return the report; nothing is judged here."""
    progress(0.5)
    return REPORT


@dataclass
class OnePlugin:
    """A host whose plugin recognises mail by its Subject header."""

    analyze: Callable[[str, Callable[[float], None], Event], Report] = check_for_spam
    run: Callable[[str], Report | str] = lambda arguments: f"checked {arguments}"

    def detectors(self) -> list[Detector]:
        """One detector."""
        return [
            Detector("mail", "e-mail", "check", lambda text: 0.9 if "\nSubject:" in text else 0.1)
        ]

    def analyzers(self) -> dict[str, Analyzer]:
        """One analyzer."""
        return {"check": Analyzer("check", "Check for spam", self.analyze)}

    def slash_commands(self) -> list[SlashCommand]:
        """One command."""
        return [SlashCommand("spam", "Check a file for spam", self.run)]


def make_app(
    history: History, model: ScriptedChatModel | Exception | None = None, **options: object
) -> FrontdeskApp:
    """Return an application over a scripted model; an exception is raised by its loading."""

    def load() -> ScriptedChatModel:
        if isinstance(model, Exception):
            raise model
        return model or ScriptedChatModel()

    plugins = options.pop("plugins", OnePlugin())
    return FrontdeskApp(history, load, plugins, **options)  # type: ignore[arg-type]


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Wait until the condition holds; the suite's timeout ends a test whose state never comes."""
    while not condition():
        await pilot.pause(0.01)
    await pilot.pause()


async def ready(pilot: Pilot[None]) -> None:
    """Wait until the plugins and the model are loaded."""
    await until(pilot, lambda: chat(pilot).plugins_loaded and chat(pilot).model is not None)


async def send(pilot: Pilot[None], text: str) -> None:
    """Write a message and press Enter."""
    composer = chat(pilot).desk.composer
    composer.focus()
    composer.load_text(text)
    await pilot.press("enter")
    await pilot.pause()


async def ask(pilot: Pilot[None], text: str) -> None:
    """Send a question and wait for the end of its answer."""
    await send(pilot, text)
    await until(pilot, lambda: not chat(pilot).busy)


def chat(pilot: Pilot[None]):
    """Return the conversation's screen."""
    app = pilot.app
    assert isinstance(app, FrontdeskApp)
    return app.chat


def questions(pilot: Pilot[None]) -> list[str]:
    """Return the questions on the screen."""
    return [widget.content for widget in chat(pilot).query(Question)]


def answers(pilot: Pilot[None]) -> list[str]:
    """Return the answers on the screen."""
    return [widget.content for widget in chat(pilot).query(Answer)]


def screen_text(pilot: Pilot[None]) -> str:
    """Return what the terminal shows, line by line, without styles."""
    screen = pilot.app.screen
    width, height = screen.size
    strips = screen._compositor.render_strips()
    assert len(strips) == height
    return "\n".join("".join(s.text for s in strip)[:width] for strip in strips)
