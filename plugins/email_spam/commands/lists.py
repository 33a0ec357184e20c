"""``spam allow``, ``spam block`` and ``spam settings``: what the person decides, not the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from plugins.email_spam.rules import Action


def _list_command(action: Action, verdict: str) -> click.Command:
    @click.command(
        action,
        help=f"Treat mail from these senders as {verdict}, whatever the model says.\n\n"
        "ana@sol.example is one sender, sol.example a domain with its subdomains; the more "
        "specific rule wins. Without arguments the list is shown.",
        short_help=f"Senders whose mail is always {verdict}.",
    )
    @click.argument("senders", metavar="[ADDRESS|DOMAIN]...", nargs=-1)
    @click.option("--remove", is_flag=True, help="Take them off the list.")
    def command(senders: tuple[str, ...], remove: bool) -> None:
        from plugins.email_spam.rules import load_rules, parse_pattern, remove_rule, save_rule

        if not senders:
            for pattern, stored in load_rules().rules.items():
                if stored == action:
                    click.echo(pattern)
            return
        patterns = [parse_pattern(sender) for sender in senders]
        for pattern in patterns:
            if remove:
                known = load_rules().rules.get(pattern) == action and remove_rule(pattern)
                click.echo(f"{pattern}: {'removed' if known else 'was not on the list'}", err=True)
            else:
                save_rule(pattern, action)
                click.echo(f"{pattern}: mail from there is {verdict}", err=True)

    return command


allow = _list_command("allow", "ham")
block = _list_command("block", "spam")


class _FigureOrModel(click.ParamType):
    name = "P"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == "model":
            return "model"
        try:
            figure = float(str(value))
        except ValueError:
            figure = -1.0
        if not 0 <= figure <= 1:
            self.fail(f"{value!r} is neither a probability in [0, 1] nor the word model", param)
        return figure


@click.command()
@click.option(
    "--threshold",
    type=_FigureOrModel(),
    help="Call it spam from this probability on; the word model: as the model has it.",
)
@click.option(
    "--unsure-from", type=_FigureOrModel(), help="Be unsure from this probability on, or model."
)
@click.option(
    "--keep-text/--no-keep-text",
    default=None,
    help="Marks keep the mail's text too, so that they outlive an update of the model.",
)
def settings(
    threshold: float | str | None, unsure_from: float | str | None, keep_text: bool | None
) -> None:
    """Show the settings, or change them."""
    from dataclasses import replace

    from plugins.email_spam.settings import load_settings, save_settings

    stored = load_settings()
    if threshold is not None:
        own = None if isinstance(threshold, str) else threshold
        stored = replace(stored, threshold=own)
    if unsure_from is not None:
        own = None if isinstance(unsure_from, str) else unsure_from
        stored = replace(stored, unsure_from=own)
    if keep_text is not None:
        stored = replace(stored, keep_text=keep_text)
    if stored != load_settings():
        save_settings(stored)
    for name, value in (("threshold", stored.threshold), ("unsure-from", stored.unsure_from)):
        click.echo(f"{name:<12} {'as the model has it' if value is None else f'{value:g}'}")
    click.echo(f"{'keep-text':<12} {'yes' if stored.keep_text else 'no'}")
