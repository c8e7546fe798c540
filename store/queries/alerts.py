"""What would be told: all that `store.alerts` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.alerts import EVENT_KINDS, OLD_SECONDS, RUNS_DRY, Seen
from store.queries.accounts import accounts
from store.queries.events import events
from store.queries.forecast import forecasts
from store.queries.limits import newest_rows
from store.queries.status import status
from store.standing import Figures, slots

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from collections.abc import Collection

    from store.alerts import Rule


def seen(
    connection: sqlite3.Connection,
    now: float,
    rules: Collection[Rule],
    *,
    forecast: bool = True,
    zone: dt.tzinfo | None = None,
) -> Seen:
    """Return what a look at a moment in Unix seconds sees, as far as the rules need it.

    Without a `forecast`, of which the cost is about that of all the rest, that is left out.
    """
    asked = {kind for rule in rules for kind in rule.kinds}
    happened, dry = not asked.isdisjoint(EVENT_KINDS), forecast and RUNS_DRY in asked
    return Seen(
        status=status(connection, now),
        events=events(connection, now, since=now - OLD_SECONDS, kinds=EVENT_KINDS, zone=zone) if happened else None,
        forecasts=forecasts(connection, now) if dry else None,
        figures=_figures(connection),
    )


def _figures(connection: sqlite3.Connection) -> dict[tuple[str, str, str], Figures]:
    """Return the windows as they were last told, by account's key, limit's id and slot."""
    newest = newest_rows(connection)
    return {
        (account.key, row["limit_id"], slot): figures
        for account in accounts(connection)
        for row in newest.get(account.id, [])
        for slot, figures in slots(dict(row))
    }
