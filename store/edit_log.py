"""The log of changes to rows that were stored earlier, in the table `edits`.

What is kept of answers (`store.kept`) is dropped by it. Every function that changes or deletes stored rows writes to it
in its own transaction. New rows, and the current snapshot of a limit that is seen again, need no entry.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def log_edit(
    connection: sqlite3.Connection, *, account: int | None = None, since: float = 0.0, until: float | None = None
) -> None:
    """Store that rows were changed or deleted; call it in the transaction of the change.

    Args:
        connection: A writing connection.
        account: The account that the rows belong to, or belonged to; None means any.
        since: The earliest time of a changed row, in Unix seconds.
        until: All changed rows were over before this time, in Unix seconds; None means no such time.

    """
    edit = {"at": time.time(), "account": account, "since": since, "until": until}
    connection.execute(_DELETE_COVERED, edit)
    connection.execute("INSERT INTO edits (at, account, since, until) VALUES (:at, :account, :since, :until)", edit)


_DELETE_COVERED = (
    "DELETE FROM edits WHERE (:account IS NULL OR account = :account) AND since >= :since"
    " AND (:until IS NULL OR until <= :until)"
)
"""Earlier entries that say nothing beyond the new one: whoever has not read them has not read that either."""
