"""How full was each limit, over time?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.levels import Level, levels
from store.queries.accounts import accounts

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
    found = []
    for account in chosen or accounts(connection):
        known = connection.execute(
            "SELECT l.limit_id, s.limit_name FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"
            " WHERE l.account = ? AND (? IS NULL OR l.limit_id = ?) ORDER BY l.limit_id != 'codex', l.limit_id",
            (account.id, limit_id, limit_id),
        ).fetchall()
        for limit, name in known:
            begin = _first_seen(connection, account, limit) if since is None else since
            rows = connection.execute(_ROWS, {"account": account.id, "limit": limit, "since": begin})
            windows = levels(rows, begin, now, columns)
            found.append(Picture(account, limit, name, begin, now, windows))
    return found


_ROWS = """
SELECT first_seen_at, last_seen_at, used_5h_percent, window_5h_minutes, resets_5h_at,
    used_7d_percent, window_7d_minutes, resets_7d_at, other_windows
FROM snapshots
WHERE account = :account AND limit_id = :limit AND late = 0 AND first_seen_at >= coalesce((
    SELECT max(first_seen_at) FROM snapshots
    WHERE account = :account AND limit_id = :limit AND late = 0 AND first_seen_at <= :since
), 0)
ORDER BY +id
"""
"""From the reading that stood at the beginning on; the index finds them, and the `+` keeps it from being given up."""


def _first_seen(connection: sqlite3.Connection, account: Account, limit: str) -> float:
    row = connection.execute(
        "SELECT min(first_seen_at) FROM snapshots WHERE account = ? AND limit_id = ?", (account.id, limit)
    ).fetchone()
    return float(row[0])
