"""Settings: frozen dataclasses filled from a preset, a TOML file and ``--set key=value``.

The docstring below a field is also its help text. A config class names its stage, and presets
of that stage are the files ``training/presets/<stage>/<name>.toml``.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import textwrap
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PRESETS = Path(__file__).parent / "presets"
Config = TypeVar("Config")


class _Text(str):
    """A value given on the command line: its field's type decides how it is read."""


@dataclass(frozen=True)
class Setting:
    """One line of a stage's ``--help``."""

    key: str
    kind: str
    default: str
    help: str


def presets(stage: str) -> list[str]:
    """Return the names of a stage's presets."""
    return sorted(path.stem for path in (PRESETS / stage).glob("*.toml"))


def load_config(
    cls: type[Config],
    preset: str | None = None,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
) -> Config:
    """Build a config: the preset first, the file over it, the overrides over both.

    Args:
        cls: a dataclass with a class variable ``stage``.
        overrides: ``key=value``; nested keys have dots (``loop.steps=200``).

    Raises:
        ValueError: an unknown key ("did you mean ..."), a value of the wrong type, a missing
            file, an unknown preset.
    """
    stage = str(getattr(cls, "stage", ""))
    data: dict[str, Any] = {}
    if preset is not None:
        path = PRESETS / stage / f"{preset}.toml"
        if not path.exists():
            known = presets(stage)
            raise ValueError(
                f"There is no preset {preset!r} for {stage}{_meant(preset, known)}; "
                f"there are: {', '.join(known) or 'none'}"
            )
        _merge(data, _read(path))
    if config_file is not None:
        _merge(data, _read(Path(config_file)))
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ValueError(f"--set {override}: expected key=value")
        nested: dict[str, Any] = {}
        inner = nested
        *parents, last = key.strip().split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = _Text(value.strip())
        _merge(data, nested)
    return build(cls, data)


def build(cls: type[Config], data: Mapping[str, Any], prefix: str = "") -> Config:
    """Build a (nested) dataclass from a mapping, checking names and types.

    Raises:
        ValueError: see ``load_config``.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{prefix.rstrip('.')} is a group of settings, not a value")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in fields:
            raise ValueError(
                f"There is no setting {prefix + key!r}{_meant(key, list(fields), prefix)}"
            )
        values[key] = _coerce(value, hints[key], prefix + key)
    missing = [
        prefix + name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(
            f"No value for {', '.join(missing)}: give one with --set {missing[0]}=... "
            "or choose a --preset"
        )
    return cls(**values)


def to_json(config: Any) -> dict[str, Any]:
    """Return a config as JSON-ready data."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    return typing.cast(dict[str, Any], plain(dataclasses.asdict(config)))


def describe(cls: type, prefix: str = "") -> list[Setting]:
    """Return every setting of a config class with its type, default and docstring."""
    hints, documents = typing.get_type_hints(cls), _field_docstrings(cls)
    settings = []
    for f in dataclasses.fields(cls):
        hint = hints[f.name]
        if dataclasses.is_dataclass(hint):
            settings += describe(typing.cast(type, hint), f"{prefix}{f.name}.")
            continue
        default = f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        shown = "" if default is dataclasses.MISSING else str(default)
        kind = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        settings.append(Setting(prefix + f.name, kind, shown, documents.get(f.name, "")))
    return settings


def help_text(cls: type) -> str:
    """Return the settings of a config class as the end of a click help page."""
    lines = ["\b", "Settings for --set KEY=VALUE and --config FILE.toml (defaults in brackets):"]
    for setting in describe(cls):
        lines.append(f"  {setting.key} [{setting.default}]" if setting.default else setting.key)
        lines += textwrap.wrap(setting.help, 84, initial_indent="      ", subsequent_indent=" " * 6)
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The config {path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"The config {path} is no valid TOML: {error}") from error


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _meant(name: str, known: Sequence[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {prefix + close[0]!r}?" if close else ""


def _coerce(value: Any, hint: Any, key: str) -> Any:
    """Check a value against a type hint, converting what is harmless (int to float, lists)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        nothing = value is None or (isinstance(value, _Text) and value.lower() in ("", "none"))
        if nothing and type(None) in arguments:
            return None
        return _coerce(value, next(a for a in arguments if a is not type(None)), key)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, f"{key}.")
    if origin is typing.Literal:
        for argument in arguments:
            if str(argument) == str(value):
                return argument
        known = [str(argument) for argument in arguments]
        raise ValueError(
            f"{key} = {value!s}: expected one of {', '.join(known)}{_meant(str(value), known)}"
        )
    if isinstance(value, _Text) and hint not in (str, Path):
        value = _parse(value)
    if origin in (tuple, list, dict):
        return _container(value, hint, key)
    return _scalar(value, hint, key)


def _scalar(value: Any, hint: Any, key: str) -> Any:
    if hint is Any:
        return value
    if hint in (Path, str) and isinstance(value, str):
        return hint(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        return float(value)
    if type(value) is hint:
        return value
    raise ValueError(f"{key} = {value!r}: expected {getattr(hint, '__name__', hint)}")


def _container(value: Any, hint: Any, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _coerce(v, arguments[1], f"{key}.{k}") for k, v in value.items()}
    if origin is dict or not isinstance(value, list | tuple):
        raise ValueError(f"{key} = {value!r}: expected {hint}")
    fixed = origin is tuple and Ellipsis not in arguments
    if fixed and len(value) != len(arguments):
        raise ValueError(f"{key} = {value}: expected {len(arguments)} values")
    kinds = arguments if fixed else [arguments[0]] * len(value)
    items = [_coerce(v, kind, key) for v, kind in zip(value, kinds, strict=True)]
    return tuple(items) if origin is tuple else items


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return {"True": True, "False": False}.get(text, text)


def _field_docstrings(cls: type) -> dict[str, str]:
    """Read the string literals that stand below the fields of a class and of its bases."""
    documents: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):
            continue
        body = typing.cast(ast.ClassDef, tree.body[0]).body
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                documents[statement.target.id] = inspect.cleandoc(str(following.value.value))
    return documents
