"""``assistant plugins``: what is installed, what it does, what went wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from assistant.cli.common import json_option, print_json, print_table

if TYPE_CHECKING:
    from assistant.plugin_host import PluginHost


@click.group()
def plugins() -> None:
    """List, enable and disable plugins."""


@plugins.command("list")
@json_option
@click.pass_context
def list_command(ctx: click.Context, as_json: bool) -> None:
    """List installed plugins: state, version, load time, hooks, error."""
    host = _host(ctx)
    host.call_all()
    if as_json:
        print_json([dataclasses.asdict(plugin) for plugin in host.plugins])
        return
    if not host.plugins:
        click.echo("No plugins are installed.", err=True)
        return
    print_table(
        ("NAME", "VERSION", "STATE", "LOADED IN", "HOOKS", "ERROR"),
        [
            (
                plugin.name,
                plugin.version,
                "failed" if plugin.error else "enabled" if plugin.enabled else "disabled",
                f"{plugin.load_ms:.1f} ms" if plugin.enabled else "",
                ", ".join(hook.removeprefix("register_") for hook in plugin.hooks),
                plugin.error,
            )
            for plugin in host.plugins
        ],
    )


@plugins.command()
@click.argument("name")
@click.pass_context
def enable(ctx: click.Context, name: str) -> None:
    """Enable a plugin."""
    _host(ctx).enable(name)
    click.echo(f"{name} is enabled", err=True)


@plugins.command()
@click.argument("name")
@click.pass_context
def disable(ctx: click.Context, name: str) -> None:
    """Disable a plugin: it is no longer imported."""
    _host(ctx).disable(name)
    click.echo(f"{name} is disabled", err=True)


def _host(ctx: click.Context) -> PluginHost:
    from assistant.cli.main import cli

    return cli.host(ctx.find_root())
