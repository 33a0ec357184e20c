"""``assistant history``: what was said, found again, taken along or deleted."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click

from assistant.cli.common import dump_json, json_option, open_history, print_json, print_table, warn
from assistant.errors import AssistantError
from assistant.text import sanitize_line

if TYPE_CHECKING:
    from assistant.history.export import Form


@click.group()
def history() -> None:
    """List, show, search, rename, pin, export, import and delete conversations."""


@history.command("list")
@json_option
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
def list_command(as_json: bool, limit: int) -> None:
    """List conversations, pinned ones (*) first, then the newest."""
    from assistant.history.export import local_time

    with closing(open_history()) as store:
        conversations = store.conversations(limit)
        total = store.counts()[0]
    if as_json:
        print_json([dataclasses.asdict(conversation) for conversation in conversations])
        return
    if not conversations:
        click.echo("No conversations yet.", err=True)
        return
    print_table(
        ("ID", "UPDATED", "MESSAGES", "TITLE"),
        [
            (c.id, local_time(c.updated), c.message_count, f"{'* ' * c.pinned}{c.title}")
            for c in conversations
        ],
    )
    if total > len(conversations):
        click.echo(f"{total - len(conversations)} more, see --limit", err=True)


@history.command()
@click.argument("conversation_id", metavar="ID")
def show(conversation_id: str) -> None:
    """Show one conversation."""
    from assistant.history.export import as_text

    with closing(open_history()) as store:
        conversation = store.conversation(conversation_id)
        click.echo(as_text(conversation, store.messages(conversation.id)))


@history.command()
@click.argument("words", nargs=-1, required=True)
@json_option
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
def search(words: tuple[str, ...], as_json: bool, limit: int) -> None:
    """Find messages that hold all WORDS; the last may be the beginning of one."""
    from assistant.history import snippet_parts

    with closing(open_history()) as store:
        hits = store.search(" ".join(words), limit)
    if as_json:
        print_json(
            [
                {
                    **dataclasses.asdict(hit),
                    "snippet": "".join(text for text, _ in snippet_parts(hit.snippet)),
                }
                for hit in hits
            ]
        )
        return
    if not hits:
        click.echo("Nothing found.", err=True)
    for hit in hits:
        snippet = "".join(
            click.style(text, bold=True) if found else text
            for text, found in snippet_parts(hit.snippet)
        )
        click.echo(f"{hit.conversation_id}  {sanitize_line(hit.title, 60)}")
        click.echo(f"    {hit.role}: {snippet.strip()}")


@history.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["markdown", "json", "text"]),
    default="markdown",
    show_default=True,
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to FILE instead of stdout.",
    metavar="FILE",
)
def export(ids: tuple[str, ...], format_name: str, output: Path | None) -> None:
    """Export conversations, all of them without ID.

    JSON is a list and holds every branch, `history import` reads it; Markdown and plain text
    hold the current one.
    """
    from assistant.history.export import as_json, exported

    with closing(open_history()) as store:
        wanted = ids or tuple(c.id for c in store.conversations(limit=-1))
        if format_name == "json":
            data = [as_json(store, conversation_id) for conversation_id in wanted]
            text = dump_json(data) + "\n"
        else:
            form = cast("Form", format_name)
            text = "\n".join(exported(store, conversation_id, form) for conversation_id in wanted)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AssistantError(f"{output} cannot be written ({error.strerror})") from error
    click.echo(f"{len(wanted)} exported to {output}", err=True)


@history.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"))
def import_command(file: TextIO) -> None:
    """Add the conversations of a JSON export, FILE or - for stdin.

    One that is there already stays as it is.
    """
    from assistant.history.importing import import_json

    with closing(open_history()) as store:
        imported = import_json(store, file.read())
    known = f", {imported.known} were there already" if imported.known else ""
    click.echo(f"{len(imported.ids)} imported{known}", err=True)


@history.command()
@click.argument("conversation_id", metavar="ID")
@click.argument("title", nargs=-1, required=True)
def rename(conversation_id: str, title: tuple[str, ...]) -> None:
    """Give a conversation another title."""
    with closing(open_history()) as store:
        store.rename(conversation_id, " ".join(title))


@history.command()
@click.argument("conversation_id", metavar="ID")
@click.option("--off", is_flag=True, help="Let it go back to its day.")
def pin(conversation_id: str, off: bool) -> None:
    """Keep a conversation at the top of the list."""
    with closing(open_history()) as store:
        store.pin(conversation_id, not off)


@history.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Delete all conversations.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete conversations for good: their text is gone from the database file."""
    if bool(ids) == everything:
        raise click.UsageError("Give the ID of a conversation, or --all")
    with closing(open_history()) as store:
        doomed = (
            store.conversations(limit=-1)
            if everything
            else list({c.id: c for c in map(store.conversation, ids)}.values())
        )
        if not yes and doomed:
            for conversation in doomed[:10]:
                title = sanitize_line(conversation.title, 60) or "(empty)"
                click.echo(f"{conversation.id}  {title}", err=True)
            if len(doomed) > 10:
                click.echo(f"and {len(doomed) - 10} more", err=True)
            if sys.stdin is None or not sys.stdin.isatty():
                raise click.UsageError("Nobody can be asked here; --yes deletes without asking")
            click.confirm("Delete for good?", abort=True, err=True)
        for conversation in doomed:
            store.delete(conversation.id)
        for line in dict.fromkeys(store.warnings):
            warn(line)
    click.echo(f"{len(doomed)} deleted", err=True)
