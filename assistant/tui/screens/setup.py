"""How answers are made: model, options, system prompt, colours, and what is sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from assistant.errors import AssistantError
from assistant.options import OPTIONS, read_options, shown_options
from assistant.text import sanitize_line
from assistant.tui.screens.library import LibraryScreen
from assistant.tui.widgets.notice import Notice


class SetupScreen(LibraryScreen):
    """The conversation, and how its answers are made."""

    def _needs_model(self) -> bool:
        """Say that there is no model yet; tell whether that is so."""
        if self.model is not None:
            return False
        if self.model_error is not None:
            self.complain(self.model_error)
        else:
            self.app.notify("The model is still being loaded", markup=False)
        return True

    # --- options and system prompt -------------------------------------------------------

    def action_options(self, text: str = "") -> None:
        """Change how answers are sampled: by a form, or as typed."""
        from assistant.tui.screens.options import OptionsScreen

        session = None if self._needs_model() else self.session()
        if session is None:
            return
        if not text:
            screen = OptionsScreen(session.options, session.model.options)
            self.app.push_screen(screen, self._set_options)
        elif text.strip().lower() == "reset":
            self._set_options("reset")
        else:
            self._set_options(text)

    def _set_options(self, text: str | None) -> None:
        session = self.session()
        if session is None or text is None:
            return
        with self.problems_shown():
            usual = session.model.options
            session.set_up(usual if text == "reset" else read_options(text, session.options))
            self.app.notify(f"Next answers: {shown_options(session.options)}", markup=False)

    def option_words(self, _before: str) -> Iterable[tuple[str, str]]:
        """Complete /options."""
        yield from ((f"{option.name}=", option.help) for option in OPTIONS.values())
        yield "reset", "as the model's own"

    def action_system(self, text: str = "") -> None:
        """Change the system prompt of the conversation."""
        from assistant.tui.screens.text import TextScreen

        session = None if self._needs_model() else self.session()
        if session is None:
            return

        def answered(prompt: str | None) -> None:
            if prompt is None:
                return
            with self.problems_shown():
                session.set_up(system_prompt=prompt.strip())
                what = "changed" if prompt.strip() else "left out"
                self.app.notify(f"System prompt {what} for this conversation", markup=False)

        if text:
            answered(text)
        else:
            note = "Read before every question of this conversation"
            screen = TextScreen("System prompt", session.system_prompt, note=note)
            self.app.push_screen(screen, answered)

    # --- the model -----------------------------------------------------------------------

    async def action_model(self, name: str = "") -> None:
        """Choose the model; load it again when it could not be loaded."""
        from assistant.tui.screens.choice import Choice, ChoiceScreen

        if self.busy:
            self.app.notify("Not while an answer is being given", markup=False)
        elif name:
            self._load_named(name)
        elif self.model is None and self.model_error is not None and not self._bundles():
            self.load_model()
        else:
            names = [Choice(name, name, help_) for name, help_ in self.model_words("")]
            current = self.model.name if self.model is not None else ""
            self.app.push_screen(ChoiceScreen("Model", names, current), self._load_named)

    def _load_named(self, name: str | None) -> None:
        if not name or (self.model is not None and self.model.name == name):
            return
        named = getattr(self.app, "model_named", None)
        if named is None:
            self.app.notify("There is no other model", markup=False)
        else:
            self.load_model(named(name))

    def _bundles(self) -> list[tuple[str, str]]:
        from assistant.bundle import list_bundles

        bundles, _ = list_bundles()
        return [
            (bundle.name, f"{bundle.context_length} tokens of context. {bundle.description}")
            for bundle in bundles
            if bundle.task == "chat"
        ]

    def model_words(self, _before: str) -> Iterable[tuple[str, str]]:
        """Complete /model."""
        return [(name, sanitize_line(help_, 80)) for name, help_ in self._bundles()]

    # --- colours, plugins, context -------------------------------------------------------

    def action_theme(self, name: str = "") -> None:
        """Choose the colours."""
        if not name:
            self.app.action_change_theme()
        elif name in self.app.available_themes:
            self.app.theme = name
        else:
            folder = Path("themes")
            self.complain(
                AssistantError(
                    f"There is no theme {sanitize_line(name, 40)}",
                    f"Yours are TOML files in the folder {folder} of the data directory",
                )
            )

    def theme_words(self, _before: str) -> Iterable[tuple[str, str]]:
        """Complete /theme."""
        for name, theme in reversed(self.app.available_themes.items()):  # ours before Textual's
            yield name, "dark" if theme.dark else "light"

    async def action_plugins(self) -> None:
        """Show what the plugins add."""
        analyzers = [f"· {sanitize_line(a.title)}" for a in self.plugins.analyzers().values()]
        commands = [
            f"· {c.usage}  {c.help}" for c in self.slash.commands.values() if c.plugin is not None
        ]
        text = "\n".join(["Plugins add", *analyzers, *commands])
        if not analyzers and not commands:
            text = "No plugin adds anything here"
        hint = "`assistant plugins list` shows their state"
        await self.transcript.add(Notice(text, hint), make=lambda: Notice(text, hint))

    def action_context(self) -> None:
        """Show exactly what the model will read."""
        from assistant.tui.screens.lens import LensScreen

        session = None if self._needs_model() else self.session()
        if session is None:
            return
        with self.problems_shown():
            self.app.push_screen(LensScreen(session, self.desk.composer.text))
