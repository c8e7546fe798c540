"""Deletion of old rows, and the return of their space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.database import transaction
from store.edit_log import log_edit
from store.outbox.tables import shipped_rows

if TYPE_CHECKING:
    import sqlite3


def prune(connection: sqlite3.Connection, before: float, most: int = 500) -> int:
    """Delete at most `most` rows last seen before a timestamp (Unix seconds); return the number of deleted rows.

    The newest snapshot of each limit, the one with an account's facts, and threads with a name stay, however old. So do
    rows that are still to be sent to a team's database. One short transaction finds its rows by the indexes: its cost
    does not depend on the length of the history. Called until it returns 0, it deletes everything older than the
    timestamp.
    """
    deleted = 0
    with transaction(connection):
        shipped = shipped_rows(connection)._asdict()
        for table, old in _OLD_ROWS:
            if deleted < most:
                values = {"before": before, "most": most - deleted, **shipped}
                deleted += connection.execute(f"DELETE FROM {table} WHERE id IN ({old})", values).rowcount  # noqa: S608 (constants)
        for rest in (_DELETE_OLD_IMPORTED_LIMITS, _DELETE_OLD_THREADS):
            if not deleted:
                deleted = connection.execute(rest, {"before": before, "most": most}).rowcount
        if deleted:
            log_edit(connection, until=before)
    return deleted


def vacuum(connection: sqlite3.Connection) -> None:
    """Shrink the file to its content. Meanwhile, for some seconds, others can read but not write.

    Raises:
        sqlite3.Error: Another program holds the database, or the disk has no room for a second copy of it.
    """
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


OLD_SNAPSHOTS = (
    # A row was first seen before it was last seen, so the index on the former finds rows that are old by the latter.
    "FROM limits l CROSS JOIN main.snapshots s INDEXED BY snapshots_first_seen"
    " ON s.account = l.account AND s.limit_id = l.limit_id AND s.first_seen_at < :before"
    " WHERE s.last_seen_at < :before AND s.id != l.snapshot_id"
    " AND s.id NOT IN (SELECT snapshot_id FROM accounts WHERE snapshot_id IS NOT NULL)"
    " AND s.id <= :snapshots AND s.id NOT IN (SELECT value FROM json_each(:may_grow))"
)

OLD_REQUESTS = (
    "FROM accounts a CROSS JOIN main.requests r INDEXED BY requests_account"
    " ON r.account = a.id WHERE r.ended_at < :before AND r.id <= :requests"
)

OLD_IMPORTED_LIMITS = (
    "FROM accounts a CROSS JOIN main.imported_limits i ON i.account = a.id AND i.last_seen_at < :before"
)

# When a thread was last seen is stored only now and then: an hour later all its turns are older, too, and deleted.
OLD_THREADS = "FROM threads t WHERE t.name IS NULL AND t.last_seen_at < :before - 3600"
"""Sources of the old rows of all accounts, without the rows that `limits` and `accounts` point at.

Their values are ``before``, and the fields of `store.outbox.tables.ShippedRows`.
"""

_OLD_ROWS = (
    ("snapshots", f"SELECT s.id {OLD_SNAPSHOTS} LIMIT :most"),
    ("requests", f"SELECT r.id {OLD_REQUESTS} LIMIT :most"),
)
"""The old rows of each table, few at a time."""

_DELETE_OLD_IMPORTED_LIMITS = (
    "DELETE FROM imported_limits WHERE (account, limit_id, first_seen_at, thread) IN"  # noqa: S608 (constants)
    f" (SELECT i.account, i.limit_id, i.first_seen_at, i.thread {OLD_IMPORTED_LIMITS} LIMIT :most)"
)

_DELETE_OLD_THREADS = (
    f"DELETE FROM threads WHERE (account, thread) IN (SELECT account, thread {OLD_THREADS} LIMIT :most)"  # noqa: S608 (constants)
)
