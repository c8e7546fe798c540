"""All snapshots of a time range: the entries of ``history --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import DAY
from store.analysis.limit_status import budget_status, credits_status, reported_windows
from store.constants import flag
from store.stored_json import read_mapping

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from store.documents import HistoryEntry
    from store.queries.accounts import Account

_MAX_STEP_BACK = DAY
"""How far back rows are read from before the time range, in case the clock was set back, in seconds."""


def load_history(
    connection: sqlite3.Connection,
    accounts: Sequence[Account],
    *,
    since: float | None = None,
    limit_id: str | None = None,
) -> Iterator[HistoryEntry]:
    """Yield the snapshots of the accounts that were still seen at `since` (Unix seconds) or later, the oldest first."""
    by_id = {account.id: account for account in accounts}
    rows = connection.execute(
        "SELECT * FROM snapshots WHERE id >= :first AND (:account IS NULL OR account = :account)"
        " AND (:since IS NULL OR last_seen_at >= :since) AND (:limit_id IS NULL OR limit_id = :limit_id) ORDER BY id",
        {
            "first": 0 if since is None else _first_id(connection, since),
            "account": accounts[0].id if len(accounts) == 1 else None,
            "since": since,
            "limit_id": limit_id,
        },
    )
    for row in rows:
        account = by_id.get(row["account"])
        if account:
            yield _history_entry(row, account)


def count_history(connection: sqlite3.Connection, accounts: Sequence[Account], limit_id: str | None = None) -> int:
    """Return the number of all snapshots of the accounts, or of one of their limits.

    Damaged rows count, too: the index alone is read, which is twenty times as fast.
    """
    ids = {account.id for account in accounts}
    rows = connection.execute("SELECT account, limit_id, count(*) FROM main.snapshots GROUP BY account, limit_id")
    return sum(number for account, limit, number in rows if account in ids and limit_id in {None, limit})


def _first_id(connection: sqlite3.Connection, since: float) -> int:
    """Return an id before which no snapshot was still seen at `since`: rows are many, and have no index by that time.

    A snapshot is seen again until its limit has a newer one. So it is the one before `since`, of a limit that was seen
    at all since then; a clock that was set back by less than `_MAX_STEP_BACK` changes nothing.
    """
    start = since - _MAX_STEP_BACK
    limits = connection.execute(
        "SELECT l.account, l.limit_id FROM limits l JOIN snapshots s ON s.id = l.snapshot_id WHERE s.last_seen_at >= ?",
        (start,),
    ).fetchall()
    firsts = [
        connection.execute(
            "SELECT coalesce((SELECT id FROM snapshots WHERE account = :account AND limit_id = :limit_id"
            " AND first_seen_at < :start ORDER BY first_seen_at DESC LIMIT 1), (SELECT min(id) FROM snapshots"
            " WHERE account = :account AND limit_id = :limit_id AND first_seen_at >= :start), 0)",
            {"account": limit["account"], "limit_id": limit["limit_id"], "start": start},
        ).fetchone()[0]
        for limit in limits
    ]
    return min(firsts, default=0)


def _history_entry(row: sqlite3.Row, account: Account) -> HistoryEntry:
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
