"""``forecast``: when each window runs out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import ACCOUNT_HELP, accounts_argument, json_option, place_option
from scripts.commands.output import emit
from scripts.support.database import session
from scripts.support.place import default_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.documents import ForecastDocument


@click.command(
    epilog="""\b
Examples:
  codex-tap forecast work      the account that begins with "work"
  codex-tap forecast --json | jq '.accounts[].limits[].windows'
""",
    help=f"""Forecast when each window runs out.

    Pace is per active hour, in percentage points. Ranges are 80 % prediction intervals. {ACCOUNT_HELP}
    """,
)
@accounts_argument
@json_option
@place_option
@click.pass_context
def forecast(context: click.Context, *, accounts: tuple[str, ...], form: Form | None, database: Place | None) -> None:
    """Forecast when each window runs out."""
    document = _load(database or default_place(), accounts)

    def render(profile: TerminalProfile) -> Text:
        from scripts.render.forecast import render_forecasts

        return render_forecasts(document, profile)

    context.exit(emit(document, form, render, is_known=bool(document["accounts"])))


def _load(place: Place, prefixes: Sequence[str]) -> ForecastDocument:
    """Return the document of ``forecast --json``; it has no accounts while nothing is known."""
    from store.errors import MissingError
    from store.queries.forecast import load_forecasts

    now = time.time()
    try:
        with session(place, prefixes) as found:
            return load_forecasts(found.connection, now, found.accounts)
    except MissingError:
        return {"generated_at": int(now), "accounts": []}
