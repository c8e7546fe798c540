"""How full was each limit, over time?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.levels import Level, levels
from store.queries.accounts import accounts
from store.queries.limits import newest_rows
from store.queries.view import one_view
from store.standing import WINDOW_COLUMNS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.queries.accounts import Account


class Picture(NamedTuple):
    """A limit of an account from `begin` to `end` (Unix seconds): its windows by slot."""

    account: Account
    limit_id: str
    limit_name: str | None
    begin: float
    end: float
    windows: dict[str, Level]


def pictures(
    connection: sqlite3.Connection,
    now: float,
    columns: int,
    *,
    chosen: Sequence[Account] | None = None,
    since: float | None = None,
    limit_id: str | None = None,
) -> list[Picture]:
    """Answer "how full was each limit, from `since` until now?": one picture for each account and limit.

    Without `since` a picture begins with its limit's first reading.
    """
    with one_view(connection):
        newest = newest_rows(connection)
        return [
            _picture(connection, account, row, columns, _Period(since, now))
            for account in chosen or accounts(connection)
            for row in newest.get(account.id, [])
            if limit_id in {None, row["limit_id"]}
        ]


class _Period(NamedTuple):
    since: float | None
    until: float


def _picture(
    connection: sqlite3.Connection, account: Account, newest: sqlite3.Row, columns: int, period: _Period
) -> Picture:
    limit = newest["limit_id"]
    begin = _first_seen(connection, account, limit) if period.since is None else period.since
    rows = connection.execute(_ROWS, {"account": account.id, "limit": limit, "since": begin})
    windows = levels(rows, begin, period.until, columns)
    return Picture(account, limit, newest["limit_name"], begin, period.until, windows)


_ROWS = f"""
SELECT first_seen_at, last_seen_at, {WINDOW_COLUMNS}
FROM snapshots
WHERE account = :account AND limit_id = :limit AND late = 0 AND first_seen_at >= coalesce((
    SELECT max(first_seen_at) FROM snapshots
    WHERE account = :account AND limit_id = :limit AND late = 0 AND first_seen_at <= :since
), 0)
ORDER BY +id
"""  # noqa: S608 (constant columns)
"""From the reading that stood at the beginning on; the index finds them, and the `+` keeps it from being given up."""


def _first_seen(connection: sqlite3.Connection, account: Account, limit: str) -> float:
    row = connection.execute(
        "SELECT min(first_seen_at) FROM snapshots WHERE account = ? AND limit_id = ?", (account.id, limit)
    ).fetchone()
    return float(row[0])
