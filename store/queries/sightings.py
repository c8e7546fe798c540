"""What was seen by name beside limits and turns: hosts that responses led Codex to, unknown fields and logins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.models import SightingKind
from store.settings import MAX_LEARNED_HOSTS, may_be_learned

if TYPE_CHECKING:
    from store.connection import Connection


class SightingCount(NamedTuple):
    """How often a name was seen, and when last (Unix seconds)."""

    name: str
    times: int
    last_seen_at: float


def load_sightings(connection: Connection, kind: SightingKind) -> list[SightingCount]:
    """Return the names of a kind, the newest first."""
    rows = connection.execute(
        "SELECT name, sum(count), max(last_seen_at) FROM sightings WHERE kind = ? GROUP BY name"
        " ORDER BY max(last_seen_at) DESC, name",
        (kind.value,),
    )
    return [SightingCount(*row) for row in rows]


def load_learned_hosts(connection: Connection) -> list[str]:
    """Return the names of the hosts to watch because a response of chatgpt.com led Codex to them."""
    names = [host.name for host in load_sightings(connection, SightingKind.HOST) if may_be_learned(host.name)]
    return names[:MAX_LEARNED_HOSTS]
