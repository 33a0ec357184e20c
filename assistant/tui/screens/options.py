"""A form of the options of generation."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from assistant.chat import GenerationOptions
from assistant.errors import BadInputError
from assistant.options import OPTIONS, read_options


class OptionsScreen(ModalScreen[str | None]):
    """Returns the changes as ``read_options`` reads them, "reset", or None.

    Args:
        options: as they are.
        usual: as the model has them.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("ctrl+s,enter", "save", "Save", priority=True),
        Binding("ctrl+r", "dismiss('reset')", "Reset", priority=True),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, options: GenerationOptions, usual: GenerationOptions) -> None:
        super().__init__()
        self._options, self._usual = dataclasses.asdict(options), dataclasses.asdict(usual)

    def compose(self) -> ComposeResult:
        """Lay out a row an option."""
        with VerticalScroll(id="options"):
            yield Static("How answers are sampled", markup=False, classes="dialog-title")
            yield Static("", markup=False, id="option-error")
            for option in OPTIONS.values():
                with Horizontal(classes="option-row"):
                    yield Static(option.name.replace("_", " "), markup=False, classes="option-name")
                    value = shown(self._options[option.name])
                    yield Input(value, name=option.name, compact=True, classes="option-value")
                    usual = shown(self._usual[option.name])
                    hint = option.help if usual == value else f"{option.help}; usually {usual}"
                    yield Static(hint, markup=False, classes="note option-help")
            keys = "Enter saves, Ctrl+R resets, Esc goes back"
            yield Static(keys, markup=False, classes="note page-note")

    @on(Input.Changed)
    def _changed(self, _event: Input.Changed) -> None:
        self._read()

    def _read(self) -> str | None:
        """Return what is written, None where something is wrong; say what."""
        parts = [f"{field.name}={field.value.strip()}" for field in self.query(Input)]
        error = ""
        try:
            for part in parts:
                read_options(part.replace(" ", "_"), GenerationOptions())
        except BadInputError as problem:
            error = problem.message
        shown = self.query_one("#option-error", Static)
        shown.update(error)
        shown.display = bool(error)
        return None if error else " ".join(parts)

    def action_save(self) -> None:
        """Close with what is written, if it can be used."""
        text = self._read()
        if text is not None:
            self.dismiss(text)


def shown(value: float | int | None) -> str:
    """Return a value as one types it; a switch is 1 or 0."""
    return "random" if value is None else f"{value:g}" if isinstance(value, float) else str(+value)
