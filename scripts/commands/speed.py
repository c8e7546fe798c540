"""``speed``: how fast Codex is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import (
    ACCOUNT_HELP,
    accounts_argument,
    export_options,
    place_option,
    require_past,
    since_option,
)
from scripts.commands.output import Table, emit
from scripts.render.export import SPEED_COLUMNS, speed_row
from scripts.support.database import session
from scripts.support.place import default_place
from store.constants import SPEED_BY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.constants import SpeedBy
    from store.documents import SpeedDocument


@click.command(
    epilog="""\b
Examples:
  codex-tap speed                          is it slow now; models of 7 days
  codex-tap speed --since 3h               of the last three hours
  codex-tap speed work --by hour --since 30d
""",
    help=f"""Show how fast Codex is, and whether it is slower than usual.

    The table has seconds to the first byte of the response, seconds in all, and output tokens a second. Each figure
    stands beside the usual one: that of the same hours of the day in the 28 days (of UTC) before. The lines above the
    table compare the last hours like for like, and say whether Codex is slow or your own turns have changed.
    {ACCOUNT_HELP}
    """,
)
@accounts_argument
@click.option("--by", type=click.Choice(SPEED_BY), default="model", show_default=True, help="Group rows by.")
@since_option("7d")
@export_options
@place_option
@click.pass_context
def speed(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    by: SpeedBy,
    since: float,
    form: Form | None,
    database: Place | None,
) -> None:
    """Show how fast Codex is."""
    now = time.time()
    require_past(since, now, "--since")
    document = _load(database or default_place(), accounts, now, by, since)

    def render(profile: TerminalProfile) -> Iterable[Text]:
        from scripts.render.speed import render_speed

        return [render_speed(document, profile)] if document["rows"] else []

    table = Table(document["rows"], SPEED_COLUMNS, speed_row)
    is_known = bool(document["accounts"])
    context.exit(emit(document, form, render, is_known=is_known, table=table, no_rows="No turns in that time range."))


def _load(place: Place, prefixes: Sequence[str], now: float, by: SpeedBy, since: float) -> SpeedDocument:
    """Return the document of ``speed --json``; it has no accounts while nothing is known."""
    from scripts.support.kept import keep_for
    from store.errors import MissingError
    from store.queries.kept_speed import SPEED
    from store.queries.speed import empty_speed, load_speed, speed_begin

    keep_for(place, prefixes, SPEED, speed_begin(since))
    try:
        with session(place, prefixes) as found:
            return load_speed(found.connection, now, accounts=found.accounts, by=by, since=since)
    except MissingError:
        return empty_speed(now, by=by, since=since)
