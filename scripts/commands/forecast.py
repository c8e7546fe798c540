"""``forecast``: when it runs out."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import accounts_argument, database_option, json_option
from scripts.support.database import chosen_accounts, known_accounts, open_for_reading
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store.documents import ForecastDocument


@click.command(
    epilog="""\b
Examples:
  codex-tap forecast work      the account whose name, e-mail or key starts so
  codex-tap forecast --json | jq '.accounts[].limits[].windows'
"""
)
@accounts_argument
@json_option
@database_option
@click.pass_context
def forecast(context: click.Context, accounts: tuple[str, ...], as_json: bool, database: Path | None) -> None:
    """Show when each window runs dry, or that it lasts.

    The pace is that of hours with use, in points of the window per hour. Ranges hold in 80 of 100 cases.
    """
    document = _document(database or default_database(), accounts)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    elif document["accounts"]:
        from scripts.render.console import detect_profile, make_console, print_text
        from scripts.render.forecast import render_forecasts

        console = make_console()
        print_text(console, render_forecasts(document, detect_profile(console)))
    else:
        click.echo(NOTHING_YET)
    if not document["accounts"]:
        context.exit(NOTHING_KNOWN)


def _document(path: Path, starts: Sequence[str]) -> ForecastDocument:
    """Return the document of ``forecast --json``; its accounts are empty where nothing was seen yet."""
    from store.errors import MissingError
    from store.queries.forecast import load_forecasts

    now = time.time()
    try:
        with open_for_reading(path) as connection:
            return load_forecasts(connection, now, chosen_accounts(known_accounts(connection), starts))
    except MissingError:
        return {"generated_at": int(now), "accounts": []}
