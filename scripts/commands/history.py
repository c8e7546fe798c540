"""``history``: the changes of each limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import ACCOUNT_HELP, database_option, export_options, require_past, since_option
from scripts.commands.output import Table, emit, print_rendered
from scripts.render.export import HISTORY_COLUMNS, history_row
from scripts.support.database import checked_limits, session
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.database import Session


@click.command(
    epilog="""\b
Examples:
  codex-tap history --since 36h
  codex-tap history work --since 7d --plot
  codex-tap history work --since 2026-11-20 --csv > work.csv
  codex-tap history --limit codex --ndjson | jq .windows
""",
    help=f"""Show every change of the limits, oldest first.

    Without ACCOUNT it shows all accounts. {ACCOUNT_HELP}
    """,
)
@click.argument("account", required=False)
@since_option()
@click.option("--limit", "limit_id", metavar="ID", help="Only this limit (codex, codex_bengalfox, …).")
@click.option("--plot", is_flag=True, help="Draw a chart of used percent over time.")
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
    """Show every change of the limits, oldest first."""
    if plot and form:
        raise click.UsageError(f"--plot cannot be combined with --{form}.")
    from store.errors import MissingError
    from store.queries.history import load_history
    from store.queries.limits import load_limit_ids

    try:
        with session(database or default_database(), [account] if account else []) as found:
            limit_ids = checked_limits(load_limit_ids(found.connection), limit_id)
            if plot:
                _print_chart(found, since, limit_id)
                return
            entries = load_history(found.connection, found.accounts, since=since, limit_id=limit_id)

            def render(profile: TerminalProfile) -> Iterator[Text]:
                from scripts.render.history import render_history

                return render_history(entries, found.accounts, limit_ids, profile)

            table = Table(entries, HISTORY_COLUMNS, history_row)
            emit(None, form, render, is_known=True, table=table, no_rows="No changes in that time range.")
    except MissingError:
        context.exit(emit(None, form, str, is_known=False, table=Table([], HISTORY_COLUMNS)))


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
