"""How did it come to this?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from store.analysis.limit_status import flag, slots
from store.queries.accounts import load_accounts
from store.queries.status import account_credits

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from store.queries.accounts import Account


def load_history(
    connection: sqlite3.Connection,
    *,
    account: Account | None = None,
    since: float | None = None,
    limit_id: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Answer "how did it come to this?": each snapshot, oldest first, that was still seen since a moment."""
    labels = {known.id: known for known in load_accounts(connection)}
    rows = connection.execute(
        "SELECT * FROM snapshots WHERE (:account IS NULL OR account = :account)"
        " AND (:since IS NULL OR last_seen_at >= :since) AND (:limit_id IS NULL OR limit_id = :limit_id) ORDER BY id",
        {"account": account and account.id, "since": since, "limit_id": limit_id},
    )
    for row in rows:
        known = labels.get(row["account"])
        if known:
            yield _history_entry(row, known)


def _history_entry(row: sqlite3.Row, account: Account) -> dict[str, Any]:
    return {
        "id": row["id"],
        **account.named,
        "token_key": row["token_key"],
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "first_seen_at": row["first_seen_at"],
        "last_seen_at": row["last_seen_at"],
        "observations": row["observations"],
        "late": bool(row["late"]),
        "windows": {slot: figures._asdict() for slot, figures in slots(dict(row))},
        "allowed": flag(row["allowed"]),
        "limit_reached": flag(row["limit_reached"]),
        "reached_type": row["reached_type"],
        "reached_until": row["reached_until"],
        "plan_type": row["plan_type"],
        "credits": account_credits(row),
        "source": row["source"],
        "status": row["status"],
        "model": row["model"],
        "thread": row["thread"],
        "raw": json.loads(row["raw"]),
    }
