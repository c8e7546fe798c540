"""Readings as of now, for commands that compare them with the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.support.factories import ALICE, limit, snapshot, windows

if TYPE_CHECKING:
    from store.models import Identity, Snapshot


def reading(five: float = 13.0, *, who: Identity = ALICE, ago: float = 100, **fields: Any) -> Snapshot:
    """A reading of the main limit's two windows, `ago` seconds old; both reset in the future."""
    at = time.time() - ago
    return snapshot(limit(windows(five, 41, at=at)), who=who, at=at, **fields)
