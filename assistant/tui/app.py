"""The terminal application: what it is given, its themes, and a clean way out."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar, Protocol

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import TextArea

from assistant.chat import ChatModel
from assistant.errors import AssistantError, ExitCode, StorageError
from assistant.history import History
from assistant.plugin_api import Analyzer, Detector, SlashCommand
from assistant.text import sanitize
from assistant.tui import clipboard
from assistant.tui.drivers import losable
from assistant.tui.facts import Warned
from assistant.tui.screens.chat import ChatScreen
from assistant.tui.settings import SETTINGS_FILE, Settings
from assistant.tui.stylesheet import SteadyStylesheet
from assistant.tui.themes import DARK, SIXTEEN, THEMES

THEMES_FOLDER = "themes"
CRASH_FILE = "crash.log"
STILL_VARIABLE = "FRONTDESK_REDUCED_MOTION"


class Plugins(Protocol):
    """What the interface asks of the plugin host (``assistant.plugin_host.PluginHost``)."""

    def detectors(self) -> Sequence[Detector]:
        """Detectors of all enabled plugins."""

    def analyzers(self) -> dict[str, Analyzer]:
        """Analyzers of all enabled plugins, by name."""

    def slash_commands(self) -> Sequence[SlashCommand]:
        """Slash commands of all enabled plugins."""


class FrontdeskApp(App[None]):
    """The assistant's screen.

    Args:
        history: where conversations are kept; the caller closes it.
        load_model: called once on a worker thread; raises AssistantError.
        plugins: the plugin host.
        settings: what is remembered between runs; None remembers nothing.
        conversation_id: the conversation to open; None opens the most recent one.
        notice: one line to show at the start, e.g. why the history is private.
        model_named: gives what loads the model of a name; None where there is no other.
        themes: themes of the person's own.
    """

    TITLE = "Frontdesk"
    CSS_PATH = ["frontdesk.tcss", "screens.tcss"]  # noqa: RUF012 - as the base class declares it
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as the base class declares it
        (0, "-tiny"),
        (60, "-narrow"),
        (90, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (28, "-tall"), (40, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+z", "suspend_process", "Sleep", show=False, priority=True, system=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "interrupt", "Stop or quit", show=False, priority=True, system=True),
    ]

    def __init__(
        self,
        history: History,
        load_model: Callable[[], ChatModel],
        plugins: Plugins,
        settings: Settings | None = None,
        conversation_id: str | None = None,
        notice: str = "",
        model_named: Callable[[str], Callable[[], ChatModel]] | None = None,
        themes: Iterable[Theme] = (),
    ) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.model_named = model_named
        # now, not once it is mounted: the style sheets would be read twice
        for theme in (*THEMES, *themes):
            self.register_theme(theme)
        usual = SIXTEEN.name if self.console.color_system == "standard" else DARK.name
        wanted = self.settings.get("theme", usual)
        self.theme = wanted if wanted in self.available_themes else usual
        self.stylesheet = SteadyStylesheet(variables=self.get_css_variables())
        self.chat = ChatScreen(history, load_model, plugins, conversation_id, notice)
        self.crash: Exception | None = None

    def get_driver_class(self) -> type[Driver]:
        """Choose what speaks to the terminal, and outlives it."""
        return losable(super().get_driver_class())

    def get_default_screen(self) -> Screen[None]:
        """Start with the conversation."""
        return self.chat

    def on_mount(self) -> None:
        """Apply the theme and take the signals that ask a program to leave."""
        self._set_motion()
        self.call_after_refresh(_collect_garbage)
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        # the shell has written over the screen, and nothing of ours has changed meanwhile
        self.app_resume_signal.subscribe(self, lambda _app: self.refresh(layout=True))
        if not self.is_headless and sys.platform != "win32":
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.exit)

    def _remember_theme(self, _theme: object) -> None:
        self.settings.set("theme", self.theme)

    def _set_motion(self) -> None:
        """Let nothing move, nor blink, where a person does not want it."""
        still = bool(os.environ.get(STILL_VARIABLE)) or self.settings.get("motion", "") == "still"
        if still:
            self.animation_level = "none"
        for area in self.chat.query(TextArea):
            area.cursor_blink = not still

    def action_toggle_motion(self) -> None:
        """Stop animations and the blinking cursor, or allow them."""
        still = self.settings.get("motion", "") == "still"
        self.settings.set("motion", "moving" if still else "still")
        self.animation_level = "full" if still else "none"
        self._set_motion()
        self.notify("Things move again" if still else "Nothing moves or blinks", markup=False)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a toast; control characters of whatever it quotes are taken out."""
        super().notify(
            sanitize(message),
            title=sanitize(title),
            severity=severity,
            timeout=timeout,
            markup=markup,
        )

    async def action_interrupt(self) -> None:
        """Copy what is selected, else stop what is running, else leave."""
        selected = self.screen.get_selected_text()
        focused = self.focused
        if not selected and isinstance(focused, TextArea):
            selected = focused.selected_text
        if await self.chat.stop_everything():
            return
        if selected:
            clipboard.copy(self, selected)
            self.screen.clear_selection()
        else:
            self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer what can be done now, the theme and the way out."""
        if screen is self.chat:
            for title, description, callback in self.chat.palette():
                yield SystemCommand(title, description, callback)
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)
        yield SystemCommand("Motion", "Allow or stop animations", self.action_toggle_motion)
        yield SystemCommand("Quit", "Leave the program", self.action_quit)

    def _handle_exception(self, error: Exception) -> None:
        # Tests see the error as it is; a person gets a line and a file instead of a traceback.
        if self.is_headless:
            super()._handle_exception(error)
            return
        self.crash = self.crash or error
        self.exit(return_code=int(ExitCode.FAILED))


def run_app(
    model_name: str | None = None, conversation_id: str | None = None, handbook: bool = True
) -> int:
    """Open the interface and return an exit code.

    Args:
        model_name: name or path of a chat bundle; None takes the one that ships.
        conversation_id: id, or unique prefix, of the conversation to open.
        handbook: whether the model reads its handbook, if it has one.

    Raises:
        BadInputError: there is no such conversation.
    """
    from assistant.paths import database_path, ensure_data_directory
    from assistant.plugin_host import PluginHost

    settings, notice = Settings(), ""
    themes: list[Theme] = []
    app: FrontdeskApp
    try:
        directory = ensure_data_directory()
        settings = Settings(directory / SETTINGS_FILE)
        if (directory / THEMES_FOLDER).is_dir():
            from assistant.tui.user_themes import user_themes

            themes, wrong = user_themes(directory / THEMES_FOLDER)
            notice = ". ".join(str(error) for error in wrong)
        history = History(database_path())
    except StorageError as error:
        history = History(None)
        notice = f"{error.message}. This session is private: nothing of it is kept"
    try:
        if conversation_id is not None:
            conversation_id = history.conversation(conversation_id).id

        def warn(line: str) -> None:  # where it can be read, not into the screen
            app.chat.post_message(Warned(line))

        plugins = PluginHost(report=warn)
        app = FrontdeskApp(
            history,
            model_loader(model_name, handbook),
            plugins,
            settings,
            conversation_id,
            notice,
            partial(model_loader, handbook=handbook),
            themes,
        )
        app.run()
    finally:
        history.close()
        _let_go_of_lost_terminal()
    if app.crash is not None:
        _report_crash(app.crash)
    return app.return_code or 0


def _collect_garbage() -> None:
    """Begin to, once the first screen is painted; what is there by then stays to the end."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _let_go_of_lost_terminal() -> None:
    """Drop what a terminal that hung up can no longer take; at exit it would be an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def model_loader(model_name: str | None, handbook: bool = True) -> Callable[[], ChatModel]:
    """Return what loads a chat bundle; None takes the one that ships."""

    def load() -> ChatModel:
        from assistant.engine.chat_model import load_chat_model
        from assistant.handbook.reading import leave_handbook

        model = load_chat_model(model_name or "support-chat")
        if not handbook:
            leave_handbook(model)
        model.warm_up()
        return model

    return load


def _report_crash(error: Exception) -> None:
    import traceback

    from assistant.paths import data_directory

    lines = traceback.format_exception(error)
    path = data_directory() / CRASH_FILE
    try:
        path.write_text("".join(lines), encoding="utf-8")
        hint = f"What went wrong is described in {path}. Your conversations are stored"
    except OSError:
        hint = "Your conversations are stored"
    failure = AssistantError(f"Frontdesk had to stop ({type(error).__name__})", hint)
    print(f"assistant: {failure}", file=sys.stderr)
