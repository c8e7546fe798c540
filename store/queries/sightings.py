"""What was seen beside limits and turns: hosts, unknown fields and unknown logins, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

    from store.models import SightingKind


class SightingCount(NamedTuple):
    """How often a name was seen, and when last (Unix seconds)."""

    name: str
    times: int
    last_seen_at: float


def load_sightings(connection: sqlite3.Connection, kind: SightingKind) -> list[SightingCount]:
    """Return the names of a kind, the latest first."""
    rows = connection.execute(
        "SELECT name, count, last_seen_at FROM sightings WHERE kind = ? ORDER BY last_seen_at DESC, name",
        (kind.value,),
    )
    return [SightingCount(*row) for row in rows]
