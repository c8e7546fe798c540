"""What was seen by name."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader, open_writer
from store.models import Sighting, SightingKind
from store.queries.sightings import load_sightings
from store.record.statements import save_sightings
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path


def test_names_of_a_kind_are_counted(path: Path) -> None:
    """The latest comes first, and other kinds are left out."""
    seen = [("a", 0), ("b", 60), ("a", 30)]
    with closing(open_writer(path)) as connection:
        for kind in (SightingKind.UNKNOWN_FIELD, SightingKind.HOST):
            count = 3 if kind is SightingKind.UNKNOWN_FIELD else 1
            save_sightings(connection, [Sighting(kind=kind, name=name, seen_at=NOON + at) for name, at in seen[:count]])
    with closing(open_reader(path)) as connection:
        assert load_sightings(connection, SightingKind.UNKNOWN_FIELD) == [("b", 1, NOON + 60), ("a", 2, NOON + 30)]
        assert load_sightings(connection, SightingKind.OTHER_HOST) == []
