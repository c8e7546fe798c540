"""Is anything coming in, and was anything lost?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3


class Summary(NamedTuple):
    """What is in a database, for ``doctor``: how much, and when something last came in (Unix seconds)."""

    accounts: int
    snapshots: int
    last_seen_at: float | None


def load_summary(connection: sqlite3.Connection) -> Summary:
    """Answer "is anything coming in?"."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM snapshots),"
        " (SELECT max(s.last_seen_at) FROM limits l JOIN snapshots s ON s.id = l.snapshot_id)"
    ).fetchone()
    return Summary(*row)


class Losses(NamedTuple):
    """What was seen and could not be kept: how many readings, when last (Unix seconds), and why."""

    number: int
    last_at: float
    reasons: tuple[str, ...]


def load_losses(connection: sqlite3.Connection) -> Losses | None:
    """Answer "was anything dropped?"; None where all that was ever seen is kept."""
    rows = connection.execute(
        "SELECT reason, sum(count) AS number, max(at) AS last_at FROM losses GROUP BY reason ORDER BY number DESC"
    ).fetchall()
    if not rows:
        return None
    return Losses(
        sum(row["number"] for row in rows), max(row["last_at"] for row in rows), tuple(row["reason"] for row in rows)
    )
