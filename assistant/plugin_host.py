"""The plugin host: finds plugins, loads and calls each in isolation.

A plugin that fails costs itself alone: one line on stderr and a row in ``assistant plugins
list``. Which plugins are disabled is a small JSON file in the data directory.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from assistant.errors import BadInputError, StorageError
from assistant.paths import data_directory, ensure_data_directory
from assistant.plugin_api import GROUP, Analyzer, Detector, HookSpecs, SlashCommand, entry_hooks
from assistant.text import sanitize_line

if TYPE_CHECKING:
    import click

STATE_FILE = "plugins.json"
# A plugin may raise anything, SystemExit included, and the program goes on.
_FAILURES = (Exception, SystemExit)


@dataclass(frozen=True)
class PluginInfo:
    """One row of ``assistant plugins list``.

    Attributes:
        name: of the entry point.
        version: of the distribution it comes from.
        module: what the entry point names.
        enabled: as the person set it; a disabled plugin is not imported.
        hooks: names of the hooks it implements.
        load_ms: milliseconds its import took; what it imports later is not counted.
        error: why it is not (fully) there, one line; "" when all is well.
    """

    name: str
    version: str
    module: str
    enabled: bool
    hooks: tuple[str, ...] = ()
    load_ms: float = 0.0
    error: str = ""


class PluginHost:
    """Every installed plugin behind one door; several threads may knock.

    Args:
        reserved_commands: names of commands that no plugin may take.
        report: takes one line a failure; None writes it to stderr.
    """

    def __init__(
        self,
        reserved_commands: Iterable[str] = (),
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._reserved = set(reserved_commands)
        self._report = report or _to_stderr
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(HookSpecs)
        self._infos: dict[str, PluginInfo] = {}
        self._results: dict[str, list[Any]] = {}
        self._loaded = False
        self._lock = threading.RLock()

    @property
    def plugins(self) -> list[PluginInfo]:
        """All installed plugins by name, disabled and failed ones among them."""
        return [self._infos[name] for name in sorted(self._infos)]

    def load(self) -> PluginHost:
        """Import every enabled plugin, once; returns the host."""
        with self._lock:
            self._load()
        return self

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        disabled = self._read_disabled()
        for point in _installed():
            info = PluginInfo(
                name=point.name,
                version=point.dist.version if point.dist else "",
                module=point.value,
                enabled=point.name not in disabled,
            )
            self._infos[point.name] = info
            if info.enabled:
                self._load_one(point)

    def commands(self) -> list[click.Command]:
        """Commands for ``assistant``."""
        import click

        return self._collect("register_commands", "command", click.Command, self._reserved)

    def detectors(self) -> list[Detector]:
        """Detectors for pasted text."""
        return self._collect("register_detectors", "detector", Detector)

    def analyzers(self) -> dict[str, Analyzer]:
        """Analyzers by name."""
        found: list[Analyzer] = self._collect("register_analyzers", "analyzer", Analyzer)
        return {analyzer.name: analyzer for analyzer in found}

    def slash_commands(self) -> list[SlashCommand]:
        """Slash commands for the composer."""
        return self._collect("register_slash_commands", "slash command", SlashCommand)

    def call_all(self) -> None:
        """Call every hook of every plugin, so that ``plugins`` shows what fails."""
        self.commands()
        self.detectors()
        self.analyzers()
        self.slash_commands()

    def detect(self, text: str) -> Detector | None:
        """Return the detector that is surest about a text, None when none reaches 0.5."""
        best: Detector | None = None
        confidence = 0.5
        for detector in self.detectors():
            try:
                value = float(detector.matches(text))
            except _FAILURES as error:
                self._report(f"detector {detector.name} failed ({_one_line(error)})")
                continue
            if value >= confidence and detector.analyzer in self.analyzers():
                best, confidence = detector, value
        return best

    def enable(self, name: str) -> None:
        """Enable a plugin from the next start on; raises BadInputError if there is none."""
        self._set_enabled(name, True)

    def disable(self, name: str) -> None:
        """Disable a plugin from the next start on; raises BadInputError if there is none."""
        self._set_enabled(name, False)

    def _load_one(self, point: EntryPoint) -> None:
        start = time.perf_counter()
        try:
            plugin = point.load()
            self._manager.register(plugin, name=point.name)
        except _FAILURES as error:
            self._fail(point.name, f"it could not be loaded ({_one_line(error)})")
            return
        finally:
            load_ms = (time.perf_counter() - start) * 1000
            self._infos[point.name] = replace(self._infos[point.name], load_ms=load_ms)
        callers = self._manager.get_hookcallers(plugin) or []
        hooks = [caller.name for caller in callers]
        known = entry_hooks()
        self._infos[point.name] = replace(
            self._infos[point.name], hooks=tuple(hook for hook in hooks if hook in known)
        )
        unknown = [hook for hook in hooks if hook not in known]
        if unknown:
            self._fail(point.name, f"it has hooks this version does not know: {', '.join(unknown)}")

    def _collect(
        self, hook: str, kind: str, expected: type, taken: Iterable[str] = ()
    ) -> list[Any]:
        """Call one hook of every plugin, each on its own; the first of a name wins."""
        with self._lock:
            self._load()
            if hook not in self._results:
                self._results[hook] = self._call(hook, kind, expected, taken)
            return list(self._results[hook])

    def _call(self, hook: str, kind: str, expected: type, taken: Iterable[str]) -> list[Any]:
        owners = dict.fromkeys(taken, "the assistant")
        found: list[Any] = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            plugin = implementation.plugin_name
            try:
                items: Sequence[Any] = list(implementation.function() or ())
                if wrong := [item for item in items if not isinstance(item, expected)]:
                    raise TypeError(f"{wrong[0]!r} is no {expected.__name__}")
            except _FAILURES as error:
                self._fail(plugin, f"{hook} failed ({_one_line(error)})")
                continue
            for item in items:
                name = str(item.name)
                if name in owners:
                    self._fail(plugin, f"the {kind} {name!r} is already {owners[name]}'s")
                    continue
                owners[name] = plugin
                found.append(item)
        return found

    def _fail(self, name: str, error: str) -> None:
        line = sanitize_line(error, 300)
        info = self._infos[name]
        self._infos[name] = replace(info, error=f"{info.error}; {line}" if info.error else line)
        self._report(f"plugin {sanitize_line(name)}: {line}")

    def _set_enabled(self, name: str, enabled: bool) -> None:
        self.load()
        if name not in self._infos:
            known = ", ".join(sorted(self._infos)) or "none"
            raise BadInputError(
                f"There is no plugin named {sanitize_line(name, 60)!r}", f"Installed: {known}"
            )
        disabled = self._read_disabled() - {name} if enabled else self._read_disabled() | {name}
        _write_state(ensure_data_directory() / STATE_FILE, {"disabled": sorted(disabled)})
        self._infos[name] = replace(self._infos[name], enabled=enabled)

    def _read_disabled(self) -> set[str]:
        path = data_directory() / STATE_FILE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            return {str(name) for name in state["disabled"]}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._report(f"{path} cannot be read ({_one_line(error)}); all plugins are enabled")
            return set()


def _installed() -> list[EntryPoint]:
    # By name: an editable installation can be found twice.
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return [found[name] for name in sorted(found)]


def _write_state(path: Path, state: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror})") from error


def _one_line(error: BaseException) -> str:
    return sanitize_line(f"{type(error).__name__}: {error}")


def _to_stderr(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)
