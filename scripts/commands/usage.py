"""``usage``: what used it."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import accounts_argument, database_option, export_options, since_option
from scripts.render.export import Form, write_rows
from scripts.support.database import chosen_accounts, known_accounts, open_for_reading
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET, WRONG_USE, CommandError
from store.constants import GROUP_BY
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from store.constants import GroupBy
    from store.documents import UsageDocument

CSV_COLUMNS = (
    "key",
    "name",
    "elsewhere",
    "points",
    "share",
    "turns",
    "refused",
    "warm_ups",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "models",
    "threads",
    "last_at",
)
"""The columns of the CSV: the names in a row of the document."""


@click.command(
    epilog="""\b
Examples:
  codex-tap usage                          by thread, in the last 7 days
  codex-tap usage work --by day --since 30d
  codex-tap usage --by model --window 5h --json
"""
)
@accounts_argument
@click.option("--by", type=click.Choice(GROUP_BY), default="thread", show_default=True, help="What a row stands for.")
@since_option("7d")
@click.option("--window", metavar="LENGTH", help="5h, 7d, …; else 7d, or the longest there is.")
@click.option("--limit", "limit_id", metavar="ID", help="codex, codex_bengalfox, …; else the main one.")
@export_options
@database_option
@click.pass_context
def usage(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    by: GroupBy,
    since: float,
    window: str | None,
    limit_id: str | None,
    form: Form | None,
    database: Path | None,
) -> None:
    """Show what used a window, in points and tokens.

    A rise between two readings belongs to the turns that ran between them, by their tokens. One without a turn was used
    elsewhere. ACCOUNT is a name or the start of an e-mail, key or token key.
    """
    now = time.time()
    if since >= now:
        raise click.BadParameter("that is still to come", param_hint="'--since'")
    asked = {"by": by, "since": since, "window": window, "limit_id": limit_id}
    document = _document(database or default_database(), accounts, now, asked)
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form:
        write_rows(document["rows"], sys.stdout, form, CSV_COLUMNS)
    elif document["window"] is not None:
        _print_table(document)
    if document["window"] is None:
        click.echo(NOTHING_YET, err=form is not None)
        context.exit(NOTHING_KNOWN)


def _document(path: Path, starts: Sequence[str], now: float, asked: Mapping[str, Any]) -> UsageDocument:
    """Return the document of ``usage --json``; without a window where nothing was seen yet."""
    from store.errors import MissingError
    from store.queries.usage import NotSeenError, empty_usage, load_usage

    try:
        with open_for_reading(path) as connection:
            return load_usage(connection, now, accounts=chosen_accounts(known_accounts(connection), starts), **asked)
    except NotSeenError as error:
        raise CommandError(str(error), WRONG_USE) from error
    except MissingError:
        return empty_usage(now, by=asked["by"], since=asked["since"])


def _print_table(document: UsageDocument) -> None:
    from scripts.render.console import detect_profile, make_console, print_text
    from scripts.render.usage import render_usage

    if not document["rows"]:
        click.echo("Nothing was used in that time.", err=True)
        return
    console = make_console()
    print_text(console, render_usage(document, detect_profile(console)))
