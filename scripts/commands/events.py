"""``events``: what happened to the limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import (
    ACCOUNT_HELP,
    accounts_argument,
    all_option,
    export_options,
    pager_option,
    place_option,
    since_option,
)
from scripts.commands.output import Table, emit
from scripts.render.export import EVENT_COLUMNS, event_row
from scripts.support.database import checked_limits, session
from scripts.support.place import default_place
from store.constants import EVENT_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.documents import EventsDocument


@click.command(
    epilog=f"""\b
Examples:
  codex-tap events --since 7d
  codex-tap events work --kind window_reset_early --kind window_moved
  codex-tap events --limit codex --csv > events.csv

Kinds: {", ".join(EVENT_KINDS)}.
""",
    help=f"""Show what happened: limits reached, windows reset or moved.

    Each event comes from two consecutive snapshots; --json, --csv and --ndjson include both. A reset that happened
    while Codex was not running is shown at the time when it was due, as soon as Codex runs again. {ACCOUNT_HELP}
    """,
)
@accounts_argument
@since_option("30d")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(EVENT_KINDS),
    multiple=True,
    metavar="KIND",
    help="Only events of this kind (repeatable).",
)
@click.option(
    "--limit", "limit_id", metavar="ID", help="Only events of this limit; events of the whole account are left out."
)
@all_option("Also list resets that came when they were due.")
@pager_option
@export_options
@place_option
@click.pass_context
def events(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    since: float | None,
    kinds: tuple[str, ...],
    limit_id: str | None,
    shows_all: bool,
    pages: bool,
    form: Form | None,
    database: Place | None,
) -> None:
    """Show what happened to the limits."""
    query = {"since": since, "kinds": kinds or None, "limit_id": limit_id}
    document = _load(database or default_place(), accounts, query)

    # Whoever asks for a kind gets all of it.
    hides_routine = not (shows_all or kinds)

    def render(profile: TerminalProfile) -> Iterator[Text]:
        from scripts.render.events import render_events

        return render_events(document, profile, hides_routine=hides_routine)

    def left_out() -> str | None:
        from scripts.render.events import routine_resets

        return routine_resets(document) if hides_routine else None

    table = Table(document["events"], EVENT_COLUMNS, event_row)
    is_known = bool(document["accounts"])
    no_rows = _no_events(document)
    context.exit(
        emit(document, form, render, is_known=is_known, table=table, no_rows=no_rows, left_out=left_out, pages=pages)
    )


def _load(place: Place, prefixes: Sequence[str], query: Mapping[str, Any]) -> EventsDocument:
    """Return the document of ``events --json``; it has no accounts while nothing is known."""
    from scripts.support.kept import keep_for
    from store.errors import MissingError
    from store.queries.events import empty_events, events_begin, load_events
    from store.queries.kept_events import EVENTS
    from store.queries.limits import load_limit_ids

    keep_for(place, prefixes, EVENTS, max(0.0, events_begin(query["since"])))
    now = time.time()
    try:
        with session(place, prefixes) as found:
            checked_limits(load_limit_ids(found.connection), query["limit_id"])
            return load_events(found.connection, now, accounts=found.accounts, **query)
    except MissingError:
        return empty_events(now, since=query["since"], limit_id=query["limit_id"])


def _no_events(document: EventsDocument) -> str:
    note = " Only one snapshot was examined." if document["readings"] == 1 else ""
    return f"No matching events.{note}"
