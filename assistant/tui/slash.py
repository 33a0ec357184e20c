"""The slash commands: a table of names, completion, and suggestions for misspelt ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from assistant.plugin_api import SlashCommand
from assistant.text import sanitize_line


@dataclass(frozen=True)
class Command:
    """A row of the table.

    Attributes:
        name: without the slash.
        help: one line.
        argument: what may follow, e.g. "TEXT", or empty.
        action: name of the screen's action that does it, empty for a plugin's command.
        plugin: the plugin's command, None for a built-in.
    """

    name: str
    help: str
    argument: str = ""
    action: str = ""
    plugin: SlashCommand | None = None

    @property
    def usage(self) -> str:
        """The command as one types it."""
        return f"/{self.name} {self.argument}".rstrip()


BUILT_IN = (
    Command("new", "Start a new conversation", action="new"),
    Command("clear", "Clear the screen; nothing is deleted",
            action="new"),
    Command("search", "Search all conversations", "TEXT", action="search"),
    Command("history", "Go to the list of conversations", action="history"),
    Command("rename", "Rename this conversation", "TITLE", action="rename"),
    Command("delete", "Delete this conversation for good", action="delete"),
    Command("copy", "Copy the last answer", action="copy"),
    Command("regenerate", "Answer the last question again", action="regenerate"),
    Command("continue", "Go on with a stopped answer", action="continue"),
    Command("model", "Show the model and its settings", action="model"),
    Command("plugins", "Show the plugins", action="plugins"),
    Command("help", "Show keys and commands", action="help"),
    Command("quit", "Leave", action="quit"),
)  # fmt: skip


class SlashTable:
    """Built-in commands and those of plugins; a built-in name cannot be taken."""

    def __init__(self, plugin_commands: Iterable[SlashCommand] = ()) -> None:
        self.commands: dict[str, Command] = {command.name: command for command in BUILT_IN}
        for plugin in plugin_commands:
            name = sanitize_line(plugin.name, 40)
            self.commands.setdefault(
                name, Command(name, sanitize_line(plugin.help), "…", plugin=plugin)
            )

    def matching(self, text: str) -> list[Command]:
        """Return the commands that complete ``text``; none once an argument has begun."""
        if not text.startswith("/") or any(c.isspace() for c in text):
            return []
        prefix = text[1:].lower()
        return [c for c in self.commands.values() if c.name.startswith(prefix)]

    def parse(self, text: str) -> tuple[Command | None, str, str]:
        """Split "/name argument" into the command (None when unknown), its name, its argument."""
        name, _, argument = text.strip()[1:].partition(" ")
        name = name.lower()
        return self.commands.get(name), name, argument.strip()

    def suggestion(self, name: str) -> str:
        """Return the nearest command's name, or empty."""
        close = difflib.get_close_matches(name, self.commands, n=1, cutoff=0.5)
        return close[0] if close else ""
