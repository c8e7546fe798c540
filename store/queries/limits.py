"""The limits that were seen, and the newest snapshot of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.constants import MAIN_LIMIT

if TYPE_CHECKING:
    import sqlite3


def load_limit_ids(connection: sqlite3.Connection) -> list[str]:
    """Return the ids of all limits that were ever seen."""
    return [row[0] for row in connection.execute("SELECT DISTINCT limit_id FROM limits ORDER BY 1")]


def current_snapshots(connection: sqlite3.Connection) -> dict[int, list[sqlite3.Row]]:
    """Return the newest snapshot of each limit by account, the main limit first."""
    found: dict[int, list[sqlite3.Row]] = {}
    for row in connection.execute(
        "SELECT s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id ORDER BY l.limit_id != ?, l.limit_id",
        (MAIN_LIMIT,),
    ):
        found.setdefault(row["account"], []).append(row)
    return found
