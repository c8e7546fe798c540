"""What was seen by name: hosts, unknown fields and logins."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader
from store.models import Sighting, SightingKind
from store.queries.sightings import load_learned_hosts, load_sightings
from store.settings import MAX_LEARNED_HOSTS
from tests.support.databases import record
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path


def seen(name: str, at: float = NOON, kind: SightingKind = SightingKind.HOST) -> Sighting:
    return Sighting(kind=kind, name=name, seen_at=at)


def test_names_of_a_kind_are_counted(path: Path) -> None:
    """The newest is first; other kinds are left out."""
    record(
        path,
        seen("evil.example", NOON + 9, SightingKind.OTHER_HOST),
        seen("a.chatgpt.com"),
        seen("b.chatgpt.com", NOON + 1),
        seen("a.chatgpt.com", NOON + 2),
        seen("x-field", kind=SightingKind.UNKNOWN_FIELD),
    )
    with closing(open_reader(path)) as connection:
        hosts = load_sightings(connection, SightingKind.HOST)
        assert hosts == [("a.chatgpt.com", 2, NOON + 2), ("b.chatgpt.com", 1, NOON + 1)]
        assert load_sightings(connection, SightingKind.OTHER_HOST) == [("evil.example", 1, NOON + 9)]
        assert load_sightings(connection, SightingKind.UNKNOWN_LOGIN) == []
        assert load_learned_hosts(connection) == ["a.chatgpt.com", "b.chatgpt.com"]


def test_stored_names_are_checked_again(path: Path) -> None:
    """A database that others have changed teaches nothing else, and not too much."""
    record(path, *(seen(name, NOON + 9) for name in ("evil.example", "ab.chatgpt.com", "auth.openai.com")))
    record(path, *(seen(f"h{number}.chatgpt.com") for number in range(MAX_LEARNED_HOSTS + 5)))
    with closing(open_reader(path)) as connection:
        learned = load_learned_hosts(connection)
    assert len(learned) == MAX_LEARNED_HOSTS
    assert all(name.startswith("h") for name in learned)
