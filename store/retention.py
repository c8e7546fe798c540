"""Deletion of old rows, and the return of their space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.database import transaction

if TYPE_CHECKING:
    import sqlite3

# Retention


def prune(connection: sqlite3.Connection, before: float, most: int = 500) -> int:
    """Delete at most so many rows of what was last seen before a moment (Unix seconds); return how many went.

    The newest reading of each limit and the one that tells an account's facts stay, however old, and so do threads that
    have a name. It is one short transaction that finds its rows by the indexes: what it costs does not depend on how
    long the history is. Called again until nothing goes, it brings everything down to that moment.
    """
    gone = 0
    with transaction(connection):
        for table, old in _OLD_ROWS:
            if gone < most:
                values = {"before": before, "most": most - gone}
                gone += connection.execute(f"DELETE FROM {table} WHERE id IN ({old})", values).rowcount  # noqa: S608 (constants)
        if not gone:
            gone = connection.execute(_DELETE_OLD_THREADS, {"before": before, "most": most}).rowcount
    return gone


def vacuum(connection: sqlite3.Connection) -> None:
    """Make the file as small as what is in it; meanwhile, which takes seconds, others can read and not write.

    Raises:
        sqlite3.Error: Another program holds the database, or the disk has no room for a second copy of it.
    """
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


OLD_SNAPSHOTS = (
    # A row was first seen before it was last seen, so the index on the former finds what is old in the latter.
    "FROM limits l CROSS JOIN snapshots s INDEXED BY snapshots_first_seen"
    " ON s.account = l.account AND s.limit_id = l.limit_id AND s.first_seen_at < :before"
    " WHERE s.last_seen_at < :before AND s.id != l.snapshot_id"
    " AND s.id NOT IN (SELECT snapshot_id FROM accounts WHERE snapshot_id IS NOT NULL)"
)

OLD_REQUESTS = (
    "FROM accounts a CROSS JOIN requests r INDEXED BY requests_account ON r.account = a.id WHERE r.ended_at < :before"
)

# That a thread was seen is noted now and then only: an hour later all its turns are older, too, and have gone.
OLD_THREADS = "FROM threads t WHERE t.name IS NULL AND t.last_seen_at < :before - 3600"
"""Where what is old is found, of all accounts; the rows that `limits` and `accounts` point at are never among it."""

_OLD_ROWS = (
    ("snapshots", f"SELECT s.id {OLD_SNAPSHOTS} LIMIT :most"),
    ("requests", f"SELECT r.id {OLD_REQUESTS} LIMIT :most"),
)
"""What of each table goes, few rows at a time."""

_DELETE_OLD_THREADS = (
    f"DELETE FROM threads WHERE (account, thread) IN (SELECT account, thread {OLD_THREADS} LIMIT :most)"  # noqa: S608 (constants)
)
