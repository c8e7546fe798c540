"""``history``: every change that was seen."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, export_options, since_option
from scripts.render.export import HISTORY_COLUMNS, Form, history_row, write_rows
from scripts.support.database import checked_limits, known_accounts, open_for_reading
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from store.settings import default_database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from store.documents import HistoryEntry
    from store.queries.accounts import Account


@click.command(
    epilog="""\b
Examples:
  codex-tap history --since 36h
  codex-tap history work --since 7d --plot
  codex-tap history work --since 2026-11-20 --csv > work.csv
  codex-tap history --limit codex --ndjson | jq .windows
"""
)
@click.argument("account", required=False)
@since_option()
@click.option("--limit", "limit_id", metavar="ID", help="Only this limit: codex, codex_bengalfox, ….")
@click.option("--plot", is_flag=True, help="Draw it: used percent over time.")
@export_options
@database_option
@click.pass_context
def history(
    context: click.Context,
    *,
    account: str | None,
    since: float | None,
    limit_id: str | None,
    plot: bool,
    form: Form | None,
    database: Path | None,
) -> None:
    """Show every change that was seen, oldest first.

    ACCOUNT is a name or the start of an e-mail, key or token key.
    """
    if plot and form:
        raise click.UsageError(f"--plot and --{form} exclude each other.")
    from store.errors import MissingError
    from store.queries.accounts import find_account
    from store.queries.history import load_history
    from store.queries.limits import load_limit_ids

    try:
        with open_for_reading(database or default_database()) as connection:
            known = known_accounts(connection)
            chosen = find_account(known, account) if account else None
            limit_ids = checked_limits(load_limit_ids(connection), limit_id)
            if plot:
                _print_plot(connection, [chosen] if chosen else known, since, limit_id)
                return
            entries = load_history(connection, [chosen] if chosen else known, since=since, limit_id=limit_id)
            if form:
                _export(entries, form)
            else:
                _print_history(entries, [chosen] if chosen else known, limit_ids)
    except MissingError:
        if form:
            _export(iter(()), form)
        click.echo(NOTHING_YET, err=bool(form))
        context.exit(NOTHING_KNOWN)


def _export(entries: Iterator[HistoryEntry], form: Form) -> None:
    rows = map(history_row, entries) if form == "csv" else entries
    write_rows(rows, sys.stdout, form, HISTORY_COLUMNS)


def _print_plot(
    connection: sqlite3.Connection, accounts: Sequence[Account], since: float | None, limit: str | None
) -> None:
    from scripts.render import chart
    from scripts.render.console import detect_profile, make_console
    from store.queries.timeline import load_timelines

    now = time.time()
    if since is not None and since >= now:
        raise click.BadParameter("that is still to come", param_hint="'--since'")
    console = make_console()
    look = detect_profile(console)
    found = load_timelines(
        connection,
        now,
        chart.chart_columns(look.width),
        accounts=accounts,
        since=since,
        limit_id=limit,
    )
    colours = console.is_terminal and not console.no_color
    click.echo("\n\n".join(chart.render_chart(picture, look, colours=colours) for picture in found))


def _print_history(entries: Iterator[HistoryEntry], who: Sequence[Account], limit_ids: Sequence[str]) -> None:
    from scripts.render.console import detect_profile, make_console, print_text
    from scripts.render.history import HistoryColumns, render_history_header, render_history_row

    console = make_console()
    look = detect_profile(console)
    columns = HistoryColumns.fitting([account.label for account in who], limit_ids, look)
    first = next(entries, None)
    if first is None:
        click.echo("No change was seen in that time.", err=True)
        return
    print_text(console, render_history_header(columns))
    print_text(console, render_history_row(first, columns, look))
    for entry in entries:
        print_text(console, render_history_row(entry, columns, look))
