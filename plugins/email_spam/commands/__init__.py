"""``assistant spam``: one module a family of commands; what they need is imported when it runs."""

from __future__ import annotations

import click

from plugins.email_spam.commands.check import check, filter_
from plugins.email_spam.commands.learn import mark, tune
from plugins.email_spam.commands.lists import allow, block, settings
from plugins.email_spam.commands.scan import report, scan, undo


@click.group(short_help="Tell spam from good mail.")
def spam() -> None:
    """Tell spam from good mail, on this computer alone."""


for command in (check, scan, filter_, report, undo, allow, block, mark, tune, settings):
    spam.add_command(command)
