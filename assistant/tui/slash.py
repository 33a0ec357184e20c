"""The slash commands: a table of names, completion, and suggestions for misspelt ones."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from assistant.plugin_api import SlashCommand
from assistant.text import sanitize_line

Choices = Callable[[str], Iterable[tuple[str, str]]]
"""Words that may follow a command, each with a line of help; given what was typed before."""


@dataclass(frozen=True)
class Command:
    """A row of the table.

    Attributes:
        name: without the slash.
        help: one line.
        argument: what may follow, e.g. "TEXT", in brackets where it may be left out.
        plugin: the plugin's command, None for a built-in: the chat screen's ``action_NAME``.
    """

    name: str
    help: str
    argument: str = ""
    plugin: SlashCommand | None = None

    @property
    def usage(self) -> str:
        """The command as one types it."""
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def needs_argument(self) -> bool:
        """Whether it means nothing by itself."""
        return bool(self.argument) and not self.argument.startswith("[")


@dataclass(frozen=True)
class Completion:
    """A way to go on.

    Attributes:
        text: what the composer holds once it is taken.
        label, help: what the list shows.
        done: whether it is a whole command, which Enter may run.
    """

    text: str
    label: str
    help: str
    done: bool


BUILT_IN = (
    Command("new", "Start a new conversation"),
    Command("clear", "Clear the screen; nothing is deleted"),
    Command("private", "Start a conversation that never touches the disk"),
    Command("search", "Search all conversations", "[TEXT]"),
    Command("history", "Go to the list of conversations"),
    Command("rename", "Rename this conversation", "TITLE"),
    Command("pin", "Keep this conversation at the top of the list, or let it go"),
    Command("export", "Write this conversation to a file", "[FORMAT] [FILE]"),
    Command("import", "Add the conversations of a JSON export", "FILE"),
    Command("delete", "Delete this conversation for good"),
    Command("copy", "Copy the last answer, its code, or the whole conversation", "[code|all]"),
    Command("edit", "Edit the last question"),
    Command("regenerate", "Answer the last question again"),
    Command("continue", "Go on with a stopped answer"),
    Command("context", "See exactly what the model will read"),
    Command("system", "Change the system prompt of this conversation", "[TEXT]"),
    Command("model", "Choose the model", "[NAME]"),
    Command("options", "Change how answers are sampled", "[NAME=VALUE]"),
    Command("theme", "Choose the colours", "[NAME]"),
    Command("plugins", "Show the plugins"),
    Command("help", "Show keys and commands"),
    Command("quit", "Leave"),
)


class SlashTable:
    """Built-in commands and those of plugins; a built-in name cannot be taken.

    Attributes:
        choices: by command, the words that may follow it.
    """

    def __init__(self, plugin_commands: Iterable[SlashCommand] = ()) -> None:
        self.commands: dict[str, Command] = {command.name: command for command in BUILT_IN}
        self.choices: dict[str, Choices] = {}
        self.add(plugin_commands)

    def add(self, plugin_commands: Iterable[SlashCommand]) -> None:
        """Add the commands of plugins."""
        for plugin in plugin_commands:
            name = sanitize_line(plugin.name, 40)
            self.commands.setdefault(
                name, Command(name, sanitize_line(plugin.help), "[…]", plugin=plugin)
            )

    def matching(self, text: str) -> list[Completion]:
        """Return the ways to complete ``text``: commands, then the words that may follow one."""
        if not text.startswith("/") or "\n" in text:
            return []
        name, space, argument = text[1:].partition(" ")
        if space:
            return self._words(name.lower(), text, argument)
        return [
            Completion(
                f"/{c.name}" + (" " if c.needs_argument else ""),
                c.usage,
                c.help,
                not c.needs_argument,
            )
            for c in self.commands.values()
            if c.name.startswith(name.lower())
        ]

    def _words(self, name: str, text: str, argument: str) -> list[Completion]:
        choices = self.choices.get(name)
        if choices is None:
            return []
        before, _, word = argument.rpartition(" ")
        kept = text[: len(text) - len(word)]
        return [
            Completion(kept + choice, choice, help_, not choice.endswith("="))
            for choice, help_ in choices(before)
            if choice.lower().startswith(word.lower())
        ]

    def parse(self, text: str) -> tuple[Command | None, str, str]:
        """Split "/name argument" into the command (None when unknown), its name, its argument."""
        name, _, argument = text.strip()[1:].partition(" ")
        name = name.lower()
        return self.commands.get(name), name, argument.strip()

    def suggestion(self, name: str) -> str:
        """Return the nearest command's name, or empty."""
        close = difflib.get_close_matches(name, self.commands, n=1, cutoff=0.5)
        return close[0] if close else ""
