"""How much was recorded, when last, and what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3


class Summary(NamedTuple):
    """The contents of a database, for ``doctor``; ``last_seen_at`` is that of the newest reading (Unix seconds)."""

    accounts: int
    snapshots: int
    last_seen_at: float | None


def load_summary(connection: sqlite3.Connection) -> Summary:
    """Return the contents of the database."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM snapshots),"
        " (SELECT max(s.last_seen_at) FROM limits l JOIN snapshots s ON s.id = l.snapshot_id)"
    ).fetchone()
    return Summary(*row)


class Losses(NamedTuple):
    """Readings that could not be stored: their number, the time of the last (Unix seconds), and the reasons."""

    number: int
    last_at: float
    reasons: tuple[str, ...]


def load_losses(connection: sqlite3.Connection) -> Losses | None:
    """Return the readings that were lost; None if there are none."""
    rows = connection.execute(
        "SELECT reason, sum(count) AS number, max(at) AS last_at FROM losses GROUP BY reason ORDER BY number DESC"
    ).fetchall()
    if not rows:
        return None
    return Losses(
        sum(row["number"] for row in rows), max(row["last_at"] for row in rows), tuple(row["reason"] for row in rows)
    )
