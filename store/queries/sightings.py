"""What was seen by name beside limits and turns: the hosts that responses led Codex to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.models import SightingKind
from store.settings import MAX_LEARNED_HOSTS, may_be_learned

if TYPE_CHECKING:
    import sqlite3


class SeenHost(NamedTuple):
    """A host that responses led Codex to, and how many times; timestamps are in Unix seconds."""

    name: str
    is_watched: bool
    times: int
    first_seen_at: float
    last_seen_at: float


def load_seen_hosts(connection: sqlite3.Connection) -> list[SeenHost]:
    """Return the hosts that responses led Codex to: those that are watched since, then the others, the newest first."""
    rows = connection.execute(
        "SELECT name, kind = ? AS is_watched, count, first_seen_at, last_seen_at FROM sightings"
        " WHERE kind IN (?, ?) ORDER BY is_watched DESC, last_seen_at DESC, name",
        (SightingKind.HOST.value, SightingKind.HOST.value, SightingKind.OTHER_HOST.value),
    )
    return [
        SeenHost(row["name"], bool(row["is_watched"]), row["count"], row["first_seen_at"], row["last_seen_at"])
        for row in rows
    ]


def load_learned_hosts(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the hosts to watch because a response of chatgpt.com led Codex to them."""
    names = [host.name for host in load_seen_hosts(connection) if host.is_watched and may_be_learned(host.name)]
    return names[:MAX_LEARNED_HOSTS]
