"""``history``: every change that was seen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.shared import (
    NOTHING_KNOWN,
    NOTHING_YET,
    checked_limits,
    database_option,
    json_option,
    known_accounts,
    reading,
    since_moment,
)
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from store.queries import Account


@click.command(
    epilog="""\b
Examples:
  codex-tap history --since 36h
  codex-tap history work --since 2026-11-20 --csv > work.csv
  codex-tap history --limit codex --json
"""
)
@click.argument("account", required=False)
@click.option("--since", callback=since_moment, metavar="WHEN", help="7d, 36h, 90min, 2026-11-20, 2026-11-20T14:05.")
@click.option("--limit", "limit_id", metavar="ID", help="Only this limit: codex, codex_bengalfox, ….")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
@database_option
@click.pass_context
def history(
    context: click.Context,
    *,
    account: str | None,
    since: float | None,
    limit_id: str | None,
    as_json: bool,
    as_csv: bool,
    database: Path | None,
) -> None:
    """Show every change that was seen, oldest first.

    ACCOUNT is a name or the start of an e-mail, key or token key.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    from scripts import export
    from store import queries
    from store.database import MissingError

    write = export.write_json if as_json else export.write_csv if as_csv else None
    try:
        with reading(database or default_database()) as connection:
            known = known_accounts(connection)
            chosen = queries.find_account(known, account) if account else None
            limit_ids = checked_limits(queries.limit_ids(connection), limit_id)
            entries = queries.history(connection, account=chosen, since=since, limit_id=limit_id)
            if write:
                write(entries, sys.stdout)
            else:
                _print_history(entries, [chosen] if chosen else known, limit_ids)
    except MissingError:
        if write:
            write((), sys.stdout)
        click.echo(NOTHING_YET, err=bool(write))
        context.exit(NOTHING_KNOWN)


def _print_history(entries: Iterator[dict[str, Any]], who: Sequence[Account], limit_ids: Sequence[str]) -> None:
    from scripts import render

    console = render.console()
    look = render.look(console)
    columns = render.HistoryColumns.fitting([account.label for account in who], limit_ids, look)
    first = next(entries, None)
    if first is None:
        click.echo("No change was seen in that time.", err=True)
        return
    render.put(console, render.history_header(columns))
    render.put(console, render.history_row(first, columns, look))
    for entry in entries:
        render.put(console, render.history_row(entry, columns, look))
