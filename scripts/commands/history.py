"""``history``: the changes of each limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from scripts.commands.completion import complete_account
from scripts.commands.options import (
    ACCOUNT_HELP,
    all_option,
    export_options,
    pager_option,
    place_option,
    require_past,
    since_option,
)
from scripts.commands.output import Table, emit, print_rendered
from scripts.render.export import HISTORY_COLUMNS, history_row
from scripts.support.database import checked_limits, session
from scripts.support.place import default_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.database import Session
    from scripts.support.place import Place
    from store.documents import HistoryEntry

_DEFAULT_SECONDS = 86_400
"""The time range of a list without ``--since``."""


@click.command(
    epilog="""\b
Examples:
  codex-tap history --since 36h
  codex-tap history work --since 7d --plot
  codex-tap history work --since 2026-11-20 --csv > work.csv
  codex-tap history --limit codex --ndjson | jq .windows
""",
    help=f"""Show every change of the limits, oldest first.

    Without --since a list on a terminal or in a pipe has the last 24 hours; --json, --csv, --ndjson and --plot have all
    that is stored. Without ACCOUNT it shows all accounts. {ACCOUNT_HELP}
    """,
)
@click.argument("account", shell_complete=complete_account, required=False)
@since_option()
@click.option("--limit", "limit_id", metavar="ID", help="Only this limit (codex, codex_bengalfox, …).")
@all_option("List all that is stored.")
@click.option("--plot", is_flag=True, help="Draw a chart of used percent over time.")
@pager_option
@export_options
@place_option
@click.pass_context
def history(
    context: click.Context,
    *,
    account: str | None,
    since: float | None,
    limit_id: str | None,
    shows_all: bool,
    pages: bool,
    plot: bool,
    form: Form | None,
    database: Place | None,
) -> None:
    """Show every change of the limits, oldest first."""
    if shows_all and since is not None:
        raise click.UsageError("--all cannot be combined with --since.")
    if plot and form:
        raise click.UsageError(f"--plot cannot be combined with --{form}.")
    from store.errors import MissingError
    from store.queries.history import count_history, load_history
    from store.queries.limits import load_limit_ids

    place, prefixes = database or default_place(), [account] if account else []
    if plot:
        _keep(place, prefixes, since)
    try:
        with session(place, prefixes) as found:
            limit_ids = checked_limits(load_limit_ids(found.connection), limit_id)
            if plot:
                _print_chart(found, since, limit_id)
                return
            default = time.time() - _DEFAULT_SECONDS if since is None and not (shows_all or form) else None
            since = default if since is None else since
            entries = _Counted(load_history(found.connection, found.accounts, since=since, limit_id=limit_id))

            def render(profile: TerminalProfile) -> Iterator[Text]:
                from scripts.render.history import render_history

                return render_history(iter(entries), found.accounts, limit_ids, profile)

            def left_out() -> str | None:
                earlier = count_history(found.connection, found.accounts, limit_id) - entries.number
                return f"Earlier changes that are not shown: {earlier:,} (--all, --since)" if earlier > 0 else None

            table = Table(entries, HISTORY_COLUMNS, history_row)
            no_rows = "No changes in that time range." if default is None else "No changes in the last 24 h."
            rest = None if default is None else left_out
            emit(None, form, render, is_known=True, table=table, no_rows=no_rows, left_out=rest, pages=pages)
    except MissingError:
        context.exit(emit(None, form, str, is_known=False, table=Table([], HISTORY_COLUMNS)))


class _Counted:
    """An iterator that counts what it has returned."""

    def __init__(self, entries: Iterator[HistoryEntry]) -> None:
        self._entries = entries
        self.number = 0

    def __iter__(self) -> Iterator[HistoryEntry]:
        for entry in self._entries:
            self.number += 1
            yield entry


def _keep(place: Place, prefixes: Sequence[str], since: float | None) -> None:
    """Keep what a chart needs."""
    from scripts.support.kept import keep_for
    from store.queries.kept_windows import WINDOWS

    keep_for(place, prefixes, WINDOWS, since)


def _print_chart(found: Session, since: float | None, limit_id: str | None) -> None:
    from store.queries.timeline import load_timelines

    now = time.time()
    if since is not None:
        require_past(since, now, "--since")

    def render(profile: TerminalProfile) -> str:
        from scripts.render.chart import chart_columns, render_chart

        columns = chart_columns(profile.width)
        timelines = load_timelines(
            found.connection, now, columns, accounts=found.accounts, since=since, limit_id=limit_id
        )
        return "\n\n".join(render_chart(timeline, profile) for timeline in timelines)

    print_rendered(render)
