"""``assistant models``: the bundles that are there, and whether they are sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import json_option, print_json, print_table
from assistant.errors import AssistantError, ExitCode, ModelError
from assistant.text import byte_size, sanitize, sanitize_line

if TYPE_CHECKING:
    from assistant.bundle import Bundle


@click.group()
def models() -> None:
    """List, describe and verify models."""


@models.command("list")
@json_option
def list_command(as_json: bool) -> int:
    """List the models that can be used; damaged ones are named on stderr."""
    from assistant.bundle import list_bundles

    bundles, errors = list_bundles()
    if as_json:
        print_json([_facts(bundle) for bundle in bundles])
    elif bundles:
        print_table(
            ("NAME", "TASK", "SIZE", "CONTEXT", "DESCRIPTION"),
            [
                (b.name, b.task, byte_size(b.size_bytes), b.context_length, b.description)
                for b in bundles
            ],
        )
    for error in errors:
        click.echo(f"error: {sanitize(str(error))}", err=True)
    if not bundles and not errors:
        raise ModelError(*_nothing_there())
    return ExitCode.MODEL if errors else ExitCode.DONE


@models.command()
@click.argument("name")
@json_option
def info(name: str, as_json: bool) -> None:
    """Describe a model: its shape, its settings, where it comes from."""
    from assistant.bundle import find_bundle

    bundle = find_bundle(name)
    if as_json:
        print_json({**bundle.to_json(), **_facts(bundle)})
        return
    shape = bundle.architecture
    rows: list[tuple[str, object]] = [
        ("name", bundle.name),
        ("description", bundle.description),
        ("task", bundle.task),
        ("directory", bundle.directory),
        ("size", byte_size(bundle.size_bytes)),
        ("context", f"{bundle.context_length} tokens"),
        ("vocabulary", f"{bundle.tokenizer_spec.vocabulary_size} tokens"),
        ("layers", shape.layers),
        ("width", shape.width),
        ("heads", f"{shape.heads} ({shape.kv_heads} for keys and values)"),
    ]
    if bundle.handbook:
        rows.append(("handbook", _handbook(bundle.handbook)))
    for section in (bundle.chat, bundle.classification, bundle.provenance):
        rows += [(key.replace("_", " "), _plain(value)) for key, value in section.items()]
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        click.echo(f"{sanitize_line(key).ljust(width)}  {sanitize_line(str(value), 500)}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Check hashes, and that this machine computes the recorded answers; all without NAME."""
    from assistant.bundle import find_bundle, list_bundles

    problems: dict[str, list[str]] = {}
    if names:
        bundles = []
        for name in names:
            try:
                bundles.append(find_bundle(name))
            except ModelError as error:
                problems[name] = [str(error)]
    else:
        bundles, errors = list_bundles()
        if not bundles and not errors:
            raise ModelError(*_nothing_there())
        problems |= {f"model {n}": [str(error)] for n, error in enumerate(errors, start=1)}
    problems |= {bundle.name: check(bundle) for bundle in bundles}
    if as_json:
        print_json(
            [{"name": n, "sound": not found, "problems": found} for n, found in problems.items()]
        )
    for name, found in problems.items():
        for problem in found:
            click.echo(f"error: {sanitize_line(name)}: {sanitize_line(problem, 1000)}", err=True)
        if not found and not as_json:
            click.echo(f"{sanitize_line(name)}: sound")
    return ExitCode.MODEL if any(problems.values()) else ExitCode.DONE


def check(bundle: Bundle) -> list[str]:
    """Return what is wrong with a bundle: hashes first, outputs only if those hold."""
    from assistant.bundle import damaged_files

    try:
        damaged = damaged_files(bundle)
        if damaged:
            return [f"{bundle.directory / name} is not what was exported" for name in damaged]
        from assistant.engine.golden import check_golden

        return check_golden(bundle)
    except (AssistantError, OSError) as error:
        return [str(error)]


def _facts(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "task": bundle.task,
        "description": bundle.description,
        "directory": str(bundle.directory),
        "size_bytes": bundle.size_bytes,
        "context_length": bundle.context_length,
    }


def _handbook(facts: dict[str, Any]) -> str:
    return (
        f"{facts.get('entry_count', '?')} entries, up to {facts.get('entries', '?')} for a "
        f"question, from a score of {facts.get('threshold', '?')}"
    )


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def _nothing_there() -> tuple[str, str]:
    from assistant.paths import MODELS_VARIABLE, model_directories

    places = ", ".join(str(directory) for directory in model_directories())
    return f"There are no models in {places}", f"{MODELS_VARIABLE} names another folder"
