"""``forecast``: when it runs out."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.shared import (
    NOTHING_KNOWN,
    NOTHING_YET,
    accounts_argument,
    chosen_accounts,
    database_option,
    json_option,
    known_accounts,
    reading,
)
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
        from scripts import render, render_forecast

        console = render.console()
        render.put(console, render_forecast.forecasts(document, render.look(console)))
    else:
        click.echo(NOTHING_YET)
    if not document["accounts"]:
        context.exit(NOTHING_KNOWN)


def _document(path: Path, starts: Sequence[str]) -> dict[str, Any]:
    """Return the document of ``forecast --json``; its accounts are empty where nothing was seen yet."""
    from store.database import MissingError
    from store.queries.forecast import forecasts

    now = time.time()
    try:
        with reading(path) as connection:
            return forecasts(connection, now, chosen_accounts(known_accounts(connection), starts))
    except MissingError:
        return {"generated_at": int(now), "accounts": []}
