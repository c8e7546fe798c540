"""All snapshots of a time range: the entries of ``history --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.limit_status import budget_status, credits_status, reported_windows
from store.constants import flag
from store.stored_json import read_mapping

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from store.documents import HistoryEntry
    from store.queries.accounts import Account


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
        "SELECT * FROM snapshots WHERE (:account IS NULL OR account = :account)"
        " AND (:since IS NULL OR last_seen_at >= :since) AND (:limit_id IS NULL OR limit_id = :limit_id) ORDER BY id",
        {"account": accounts[0].id if len(accounts) == 1 else None, "since": since, "limit_id": limit_id},
    )
    for row in rows:
        account = by_id.get(row["account"])
        if account:
            yield _history_entry(row, account)


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
