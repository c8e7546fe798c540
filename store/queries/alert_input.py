"""What would be told: all that `store.analysis.alerting` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.alerting import EVENT_KINDS, OLD_SECONDS, RUNS_DRY, AlertInput
from store.analysis.limit_status import WindowRow, slots
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from store.queries.forecast import load_forecasts
from store.queries.limits import current_snapshots
from store.queries.status import load_status

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from collections.abc import Collection

    from store.analysis.alerting import Rule


def load_alert_input(
    connection: sqlite3.Connection,
    now: float,
    rules: Collection[Rule],
    *,
    forecast: bool = True,
    zone: dt.tzinfo | None = None,
) -> AlertInput:
    """Return what a look at a moment in Unix seconds sees, as far as the rules need it.

    Without a `forecast`, of which the cost is about that of all the rest, that is left out.
    """
    asked = {kind for rule in rules for kind in rule.kinds}
    happened, dry = not asked.isdisjoint(EVENT_KINDS), forecast and RUNS_DRY in asked
    return AlertInput(
        status=load_status(connection, now),
        events=load_events(connection, now, since=now - OLD_SECONDS, kinds=EVENT_KINDS, zone=zone)
        if happened
        else None,
        forecasts=load_forecasts(connection, now) if dry else None,
        figures=_figures(connection),
    )


def _figures(connection: sqlite3.Connection) -> dict[tuple[str, str, str], WindowRow]:
    """Return the windows as they were last told, by account's key, limit's id and slot."""
    newest = current_snapshots(connection)
    return {
        (account.key, row["limit_id"], slot): figures
        for account in load_accounts(connection)
        for row in newest.get(account.id, [])
        for slot, figures in slots(dict(row))
    }
