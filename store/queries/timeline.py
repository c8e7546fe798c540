"""The used percent of limits over time, for ``history --plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.limit_status import WINDOW_COLUMNS
from store.analysis.timeline import WindowTimeline, window_timelines
from store.queries.cursors import read_transaction
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection, StoredRow
    from store.queries.accounts import Account


class LimitTimeline(NamedTuple):
    """The windows of an account's limit by slot, from `begin` to `end` (Unix seconds)."""

    account: Account
    limit_id: str
    limit_name: str | None
    begin: float
    end: float
    windows: dict[str, WindowTimeline]


def load_timelines(
    connection: Connection,
    now: float,
    columns: int,
    *,
    accounts: Sequence[Account],
    since: float | None = None,
    limit_id: str | None = None,
) -> list[LimitTimeline]:
    """Return a timeline in `columns` buckets, from `since` until now, for each limit of the accounts.

    Without `since` a timeline begins with the limit's first snapshot.
    """
    with read_transaction(connection):
        snapshots = current_snapshots(connection, accounts)
        return [
            _limit_timeline(connection, account, row, columns, (since, now))
            for account in accounts
            for row in snapshots.get(account.id, [])
            if limit_id in {None, row["limit_id"]}
        ]


def _limit_timeline(
    connection: Connection,
    account: Account,
    newest: StoredRow,
    columns: int,
    span: tuple[float | None, float],
) -> LimitTimeline:
    since, until = span
    limit = newest["limit_id"]
    begin = _first_seen(connection, account, limit) if since is None else since
    rows = connection.execute(_ROWS, {"account": account.id, "limit": limit, "since": begin})
    windows = window_timelines(rows, begin, until, columns)
    return LimitTimeline(account, limit, newest["limit_name"], begin, until, windows)


_ROWS = f"""
SELECT first_seen_at, last_seen_at, {WINDOW_COLUMNS}
FROM snapshots
WHERE account = :account AND limit_id = :limit AND late = 0 AND first_seen_at >= coalesce((
    SELECT max(first_seen_at) FROM snapshots
    WHERE account = :account AND limit_id = :limit AND late = 0 AND first_seen_at <= :since
), 0)
ORDER BY +id
"""  # noqa: S608 (constant columns)
"""From the snapshot that stood at `since` on, found by the index; without the `+` SQLite would walk the table by id."""


def _first_seen(connection: Connection, account: Account, limit: str) -> float:
    row = connection.execute(
        "SELECT min(first_seen_at) FROM snapshots WHERE account = ? AND limit_id = ?", (account.id, limit)
    ).fetchone()
    return float(row[0])
