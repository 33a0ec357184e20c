"""``assistant``: the group of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from assistant.cli.common import DEFAULT_CHAT_MODEL
from assistant.errors import AssistantError, ExitCode
from assistant.text import sanitize, sanitize_line

if TYPE_CHECKING:
    from assistant.plugin_host import PluginHost

# name: module; the command has the module's last name.
BUILT_IN = {
    "ask": "assistant.cli.ask",
    "history": "assistant.cli.history",
    "models": "assistant.cli.models",
    "plugins": "assistant.cli.plugins",
    "doctor": "assistant.cli.doctor",
    "benchmark": "assistant.cli.benchmark",
}


class AssistantGroup(click.Group):
    """The built-in commands, imported when they are used, and those of the plugins."""

    def host(self, ctx: click.Context) -> PluginHost:
        """Return the plugin host of this run."""
        from assistant.plugin_host import PluginHost

        if ctx.obj is None:
            ctx.obj = PluginHost(reserved_commands=BUILT_IN)
        host: PluginHost = ctx.obj
        return host

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return [*BUILT_IN, *self._plugin_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; plugins are loaded only for what is not built in."""
        module = BUILT_IN.get(cmd_name)
        if module is None:
            return self._plugin_commands(ctx).get(cmd_name)
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def _plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        return {str(command.name): command for command in self.host(ctx).commands()}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the built-in commands, then those of the plugins."""
        plugins = self._plugin_commands(ctx)
        limit = formatter.width - 6 - max(len(name) for name in [*BUILT_IN, *plugins])
        for title, names in (("Commands", list(BUILT_IN)), ("Commands of plugins", list(plugins))):
            rows = [
                (name, sanitize_line(command.get_short_help_str(limit)))
                for name in names
                if (command := self.get_command(ctx, name)) and not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(
    cls=AssistantGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--plain", is_flag=True, help="Talk line by line instead of full screen.")
@click.option("--model", "model_name", metavar="NAME", help="Name or path of a chat model.")
@click.option("--conversation", metavar="ID", help="Go on with a conversation.")
@click.option("--no-handbook", is_flag=True, help="Answer without looking into the handbook.")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.version_option(package_name="frontdesk", message="frontdesk %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    plain: bool,
    model_name: str | None,
    conversation: str | None,
    no_handbook: bool,
    debug: bool,
) -> int | None:
    """Frontdesk, a support assistant that answers from this computer alone.

    Without a command it opens the conversation, full screen in a terminal, line by line with
    --plain, with TERM=dumb, or where there is no terminal.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input, 4 model missing or damaged,
    130 interrupted.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if plain or not is_terminal():
        from assistant.plain import run_plain

        return run_plain(model_name or DEFAULT_CHAT_MODEL, conversation, not no_handbook)
    gc.disable()  # nothing made before the first paint is garbage; the interface enables it then
    from assistant.tui.app import run_app

    return run_app(model_name, conversation, not no_handbook)


def is_terminal() -> bool:
    """Whether both ends are a terminal that can do more than lines."""
    streams = (sys.stdin, sys.stdout)
    return os.environ.get("TERM") not in {None, "", "dumb"} and all(
        stream is not None and stream.isatty() for stream in streams
    )


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one a kind of error
    """Run a command line and return its exit code; no traceback reaches a person."""
    _make_streams_safe()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "doctor" in arguments:
        # Watching must begin before the plugins are loaded.
        from assistant.cli.socket_watch import watch_sockets

        watch_sockets()
    try:
        result = cli.main(args=arguments, prog_name="assistant", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.DONE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except AssistantError as error:
        click.echo(f"error: {sanitize(error.message)}", err=True)
        if error.hint:
            click.echo(f"hint: {sanitize(error.hint)}", err=True)
        return error.exit_code
    except BrokenPipeError:
        _discard_stdout()
        return ExitCode.FAILED
    except SystemExit as error:  # click's own way out of a broken pipe
        return error.code if isinstance(error.code, int) else ExitCode.FAILED
    except Exception as error:
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        reason = sanitize_line(f"{type(error).__name__}: {error}", 300)
        click.echo(f"unexpected error: {reason} (run with --debug for details)", err=True)
        return ExitCode.FAILED


def _make_streams_safe() -> None:
    """A character that a stream's encoding lacks is replaced, never an exception."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            with suppress(ValueError):  # a stream that was read before keeps what it has
                stream.reconfigure(errors="replace")


def _discard_stdout() -> None:
    # What is left in the buffer would raise once more when the interpreter closes stdout
    # (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
