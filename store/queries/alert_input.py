"""The documents that `store.analysis.alerting` evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.alerting import EVENT_ALERTS, OLD_SECONDS, RUNS_DRY, AlertInput
from store.analysis.limit_status import WindowRow, slots
from store.queries.cursors import read_transaction
from store.queries.events import load_events
from store.queries.forecast import load_forecasts
from store.queries.limits import current_snapshots
from store.queries.status import load_status

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Sequence

    from store.analysis.alerting import Rule
    from store.connection import Connection
    from store.queries.accounts import Account


def load_alert_input(
    connection: Connection,
    now: float,
    rules: Collection[Rule],
    *,
    accounts: Sequence[Account],
    forecast: bool = True,
    zone: dt.tzinfo | None = None,
) -> AlertInput:
    """Return what an evaluation at `now` (Unix seconds) needs, as far as the rules use it.

    The forecast costs about as much as everything else together; without `forecast` it is left out.
    """
    wanted = {kind for rule in rules for kind in rule.kinds}
    kinds = [kind for kind in EVENT_ALERTS if kind in wanted]
    with read_transaction(connection):
        return AlertInput(
            status=load_status(connection, now, accounts),
            events=load_events(
                connection, now, accounts=accounts, since=now - OLD_SECONDS, kinds=EVENT_ALERTS, zone=zone
            )
            if kinds
            else None,
            forecasts=load_forecasts(connection, now, accounts) if forecast and RUNS_DRY in wanted else None,
            reported=_reported_windows(connection, accounts),
        )


def _reported_windows(connection: Connection, accounts: Sequence[Account]) -> dict[tuple[str, str, str], WindowRow]:
    """Return the windows as they were last reported, by the account's key, the limit's id and the slot."""
    snapshots = current_snapshots(connection, accounts)
    return {
        (account.key, row["limit_id"], slot): window
        for account in accounts
        for row in snapshots.get(account.id, [])
        for slot, window in slots(row)
    }
