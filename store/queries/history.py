"""All snapshots of a time range: the entries of ``history --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import DAY
from store.analysis.limit_status import budget_status, credits_status, reported_windows
from store.constants import flag
from store.queries.cursors import is_among, stream
from store.stored_json import read_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from store.connection import Connection, StoredRow
    from store.documents import HistoryEntry
    from store.queries.accounts import Account

_MAX_STEP_BACK = DAY
"""How far back rows are read from before the time range, in case the clock was set back, in seconds."""


def load_history(
    connection: Connection,
    accounts: Sequence[Account],
    *,
    since: float | None = None,
    limit_id: str | None = None,
) -> Iterator[HistoryEntry]:
    """Yield the snapshots of the accounts that were still seen at `since` (Unix seconds) or later, the oldest first."""
    by_id = {account.id: account for account in accounts}
    accounts_in, ids = is_among("account", by_id)
    first = 0 if since is None else _first_id(connection, since, accounts)
    # Whatever `? = 0` is, SQLite cannot tell: it walks the table by id, where the index would need a sort.
    rows = stream(
        connection,
        f"SELECT * FROM snapshots WHERE id >= ? AND (? = 0 OR {accounts_in})"  # noqa: S608 (marks)
        " AND (? IS NULL OR last_seen_at >= ?) AND (? IS NULL OR limit_id = ?) ORDER BY id",
        (first, 1, *ids, since, since, limit_id, limit_id),
    )
    for row in rows:
        account = by_id.get(row["account"])
        if account:
            yield _history_entry(row, account)


def count_history(connection: Connection, accounts: Sequence[Account], limit_id: str | None = None) -> int:
    """Return the number of all snapshots of the accounts, or of one of their limits.

    Damaged rows count, too: the index alone is read, which is twenty times as fast.
    """
    known = {account.id for account in accounts}
    accounts_in, ids = is_among("account", known)
    rows = connection.execute(
        f"SELECT account, limit_id, count(*) FROM main.snapshots WHERE {accounts_in} GROUP BY account, limit_id",  # noqa: S608 (marks)
        ids,
    )
    return sum(number for account, limit, number in rows if account in known and limit_id in {None, limit})


def _first_id(connection: Connection, since: float, accounts: Sequence[Account]) -> int:
    """Return an id before which no snapshot was still seen at `since`: rows are many, and have no index by that time.

    A snapshot is seen again until its limit has a newer one. So it is the one before `since`, of a limit that was seen
    at all since then; a clock that was set back by less than `_MAX_STEP_BACK` changes nothing.
    """
    start = since - _MAX_STEP_BACK
    accounts_in, ids = is_among("l.account", [account.id for account in accounts])
    (first,) = connection.execute(
        "SELECT min(coalesce((SELECT o.id FROM snapshots o WHERE o.account = l.account AND o.limit_id = l.limit_id"  # noqa: S608 (marks)
        " AND o.first_seen_at < ? ORDER BY o.first_seen_at DESC LIMIT 1), (SELECT min(o.id) FROM snapshots o"
        " WHERE o.account = l.account AND o.limit_id = l.limit_id AND o.first_seen_at >= ?), 0)) FROM limits l"
        " JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id"
        f" WHERE s.last_seen_at >= ? AND {accounts_in}",
        (start, start, start, *ids),
    ).fetchone()
    return first or 0


def _history_entry(row: StoredRow, account: Account) -> HistoryEntry:
    return {
        "id": row["id"],
        **account.reference,
        "token_key": row["token_key"],
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "first_seen_at": row["first_seen_at"],
        "last_seen_at": row["last_seen_at"],
        "observations": row["observations"],
        "late": bool(row["late"]),
        "windows": reported_windows(row),
        "budget": budget_status(row),
        "allowed": flag(row["allowed"]),
        "limit_reached": flag(row["limit_reached"]),
        "reached_type": row["reached_type"],
        "reached_until": row["reached_until"],
        "plan_type": row["plan_type"],
        "credits": credits_status(row),
        "source": row["source"],
        "status": row["status"],
        "model": row["model"],
        "thread": row["thread"],
        "raw": read_mapping(row["raw"]),
    }
