"""``events``: what happened to the limits."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import accounts_argument, database_option, export_options, since_option
from scripts.render.export import Form, iso, write_rows
from scripts.support.database import checked_limits, chosen_accounts, known_accounts, open_for_reading
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from store.constants import EVENT_KINDS
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from store.documents import EventsDocument

_READING = ("id", "seen_at", "used_percent", "resets_at", "reached_type", "plan_type", "credits_balance", "source")

CSV_COLUMNS = (
    "at",
    "moment",
    "kind",
    "account",
    "name",
    "email",
    "limit_id",
    "limit_name",
    "slot",
    "window_minutes",
    "text",
    "note",
    "seconds",
    "points",
    "credits",
    *(f"{side}_{name}" for side in ("before", "after") for name in (*_READING, "token_key")),
    "before_reached_until",
    "after_reached_until",
)
"""The columns of the CSV: ``at`` is in Unix seconds, ``moment`` the same in ISO 8601 (UTC)."""


@click.command(
    epilog=f"""\b
Examples:
  codex-tap events --since 7d
  codex-tap events work --kind window_reset_early --kind window_moved
  codex-tap events --limit codex --csv > events.csv

Kinds: {", ".join(EVENT_KINDS)}.
"""
)
@accounts_argument
@since_option("30d")
@click.option(
    "--kind", "kinds", type=click.Choice(EVENT_KINDS), multiple=True, metavar="KIND", help="Only this; repeatable."
)
@click.option("--limit", "limit_id", metavar="ID", help="Only this limit, and nothing of the account as a whole.")
@export_options
@database_option
@click.pass_context
def events(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    since: float | None,
    kinds: tuple[str, ...],
    limit_id: str | None,
    form: Form | None,
    database: Path | None,
) -> None:
    """Show what happened: limits reached, windows reset or moved.

    Each event comes from two readings that follow each other; --json, --csv and --ndjson show both. A reset that nobody
    saw is told at its own time, once Codex is run again. ACCOUNT is a name or the start of an e-mail, key or token key.
    """
    path = database or default_database()
    document = _document(path, accounts, {"since": since, "kinds": kinds or None, "limit_id": limit_id})
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form:
        rows = document["events"]
        write_rows(map(_flat, rows) if form == "csv" else rows, sys.stdout, form, CSV_COLUMNS)
    elif document["events"]:
        _print_events(document)
    elif document["accounts"]:
        click.echo(_nothing(document), err=True)
    if not document["accounts"]:
        click.echo(NOTHING_YET, err=form is not None)
        context.exit(NOTHING_KNOWN)


def _document(path: Path, starts: Sequence[str], asked: Mapping[str, Any]) -> EventsDocument:
    """Return the document of ``events --json``; without accounts where nothing was seen yet."""
    from store.errors import MissingError
    from store.queries.events import empty_events, load_events
    from store.queries.limits import load_limit_ids

    now = time.time()
    try:
        with open_for_reading(path) as connection:
            chosen = chosen_accounts(known_accounts(connection), starts)
            checked_limits(load_limit_ids(connection), asked["limit_id"])
            return load_events(connection, now, accounts=chosen, **asked)
    except MissingError:
        return empty_events(now, since=asked["since"], limit_id=asked["limit_id"])


def _nothing(document: EventsDocument) -> str:
    few = " Only one reading was looked at." if document["readings"] == 1 else ""
    return f"Nothing of that happened, as far as was seen.{few}"


def _flat(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as a row of the CSV."""
    sides = {f"{side}_{name}": value for side in ("before", "after") for name, value in event[side].items()}
    return {**event, "moment": iso(event["at"]), **sides}


def _print_events(document: EventsDocument) -> None:
    from scripts.render.console import detect_profile, make_console, print_text
    from scripts.render.events import render_events

    console = make_console()
    look = detect_profile(console)
    for line in render_events(document, look):
        print_text(console, line)
