"""The limits that were seen, and the newest snapshot of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.constants import MAIN_LIMIT
from store.queries.cursors import is_among

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection, StoredRow
    from store.queries.accounts import Account


MAX_LIMITS = 200
"""Limits of an account that are read: earlier versions stored any number, and so may another program."""


def load_limit_ids(connection: Connection) -> list[str]:
    """Return the ids of the limits that were ever seen, at most `MAX_LIMITS`, among them the main one."""
    rows = connection.execute(
        "SELECT limit_id FROM limits GROUP BY limit_id ORDER BY limit_id != ?, limit_id LIMIT ?",
        (MAIN_LIMIT, MAX_LIMITS),
    )
    return sorted(row[0] for row in rows)


def current_snapshots(connection: Connection, accounts: Sequence[Account]) -> dict[int, list[StoredRow]]:
    """Return the newest snapshot of each limit by account, at most `MAX_LIMITS` of each, the main limit first."""
    accounts_in, ids = is_among("l.account", [account.id for account in accounts])
    found: dict[int, list[StoredRow]] = {}
    for row in connection.execute(
        "SELECT s.* FROM limits l JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id"  # noqa: S608 (marks)
        f" WHERE {accounts_in} ORDER BY l.limit_id != ?, l.limit_id",
        (*ids, MAIN_LIMIT),
    ):
        of_account = found.setdefault(row["account"], [])
        if len(of_account) < MAX_LIMITS:
            of_account.append(row)
    return found


def newest_observation(connection: Connection) -> float | None:
    """Return when any limit was last seen, in Unix seconds; None where none was."""
    (found,) = connection.execute(
        "SELECT max(coalesce(s.windows_seen_at, s.last_seen_at)) FROM limits l"
        " JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id"
    ).fetchone()
    return None if found is None else float(found)
