"""The used percent of limits over time, for ``history --plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.timeline import Axis, WindowTimeline, window_timelines
from store.kept.reading import ask_kept
from store.queries.cursors import read_transaction
from store.queries.kept_windows import QUARTER, UTC_DAY, WINDOWS, limit_rows
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection, StoredRow
    from store.kept.kind import Kept
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

    Without `since` a timeline begins with the limit's first snapshot. A long one begins at a full quarter of an hour,
    or day of UTC, and so does each of its columns.
    """

    def load(kept: Kept | None) -> list[LimitTimeline]:
        snapshots = current_snapshots(connection, accounts)
        return [
            _limit_timeline(connection, kept, account, row, _axis(connection, account, row, columns, (since, now)))
            for account in accounts
            for row in snapshots.get(account.id, [])
            if limit_id in {None, row["limit_id"]}
        ]

    with read_transaction(connection):
        found = ask_kept(connection, WINDOWS, load)
        return load(None) if found is None else found


def _axis(
    connection: Connection,
    account: Account,
    newest: StoredRow,
    columns: int,
    span: tuple[float | None, float],
) -> Axis:
    since, until = span
    begin = _first_seen(connection, account, newest["limit_id"]) if since is None else since
    bucket = bucket_of(until - begin, columns)
    return Axis(begin // bucket * bucket if bucket else begin, until, columns, bucket)


def bucket_of(seconds: float, columns: int) -> int:
    """Return the length of the buckets at whose multiples the columns of a timeline begin; 0: they begin anywhere."""
    return next((bucket for bucket in (UTC_DAY, QUARTER) if seconds / columns >= 2 * bucket), 0)


def _limit_timeline(
    connection: Connection, kept: Kept | None, account: Account, newest: StoredRow, axis: Axis
) -> LimitTimeline:
    limit = newest["limit_id"]
    rows = limit_rows(connection, kept, (account.id, limit), axis.begin, axis.bucket)
    return LimitTimeline(account, limit, newest["limit_name"], axis.begin, axis.end, window_timelines(rows, axis))


def _first_seen(connection: Connection, account: Account, limit: str) -> float:
    row = connection.execute(
        "SELECT min(first_seen_at) FROM snapshots WHERE account = ? AND limit_id = ?", (account.id, limit)
    ).fetchone()
    return float(row[0])
