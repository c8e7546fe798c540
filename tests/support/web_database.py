"""A database with two accounts for the web server, and the paths of its documents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scripts.web.legacy import LegacyDocument
from store import documents
from store.models import Tokens, Transport, Turn
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, windows

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Identity, Snapshot

HOUR = 3_600

DOCUMENTS: list[tuple[str, type[object]]] = [
    ("/api/usage", documents.StatusDocument),
    ("/api/history", documents.HistoryPointsDocument),
    ("/api/history?points=5&since=30d", documents.HistoryPointsDocument),
    ("/api/requests", documents.TurnsDocument),
    ("/api/breakdown", documents.UsageDocument),
    ("/api/breakdown?by=model&window=5h&since=24h", documents.UsageDocument),
    ("/api/breakdown?tree=true", documents.UsageDocument),
    ("/api/forecast", documents.ForecastDocument),
    ("/api/events", documents.EventsPageDocument),
    ("/api/events?kind=plan_changed&kind=window_reset&limit=1", documents.EventsPageDocument),
    ("/api/next", documents.NextDocument),
    ("/api/next?credits=all", documents.NextDocument),
    ("/api/accounts", documents.AccountsDocument),
    ("/health", documents.HealthDocument),
    ("/codex/usage", LegacyDocument),
]

OF_ONE: list[tuple[str, type[object]]] = [
    ("/api/usage/alice", documents.StatusDocument),
    ("/api/history?account=alice", documents.HistoryPointsDocument),
    ("/api/requests?account=alice", documents.TurnsDocument),
    ("/api/breakdown?account=alice", documents.UsageDocument),
    ("/api/forecast?account=alice", documents.ForecastDocument),
    ("/api/events?account=alice", documents.EventsPageDocument),
    ("/api/next?credits=alice,bob", documents.NextDocument),
    ("/api/accounts/alice", documents.AccountDetail),
    ("/codex/usage/alice", LegacyDocument),
]

ASKED = [asked for asked, _ in [*DOCUMENTS, *OF_ONE]]


def reading(five: float, *, who: Identity = ALICE, ago: float = 100, **fields: Any) -> Snapshot:
    """A reading of the main limit's two windows, some seconds ago; both reset in the future."""
    now = time.time()
    return snapshot(limit(windows(five, 41, at=now)), who=who, at=now - ago, plan_type="plus", **fields)


def turn(ago: float, *, who: Identity = ALICE, **fields: Any) -> Turn:
    """A turn that ended some seconds ago."""
    at = time.time() - ago
    defaults = {"thread": "thread-1", "model": "gpt-6.1-sol", "status": 200, "tokens": Tokens(input=100, output=10)}
    return Turn(identity=who, transport=Transport.WEBSOCKET, started_at=at - 5, ended_at=at, **{**defaults, **fields})


def fill(path: Path) -> Path:
    """Record two accounts, four readings of three limits, and three turns."""
    spark = limit(windows(1, 2, at=time.time()), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark")
    bob = snapshot(limit(windows(90, 20, at=time.time())), spark, who=BOB, at=time.time() - 50, plan_type="pro")
    return record(
        path,
        reading(13, ago=2 * HOUR),
        turn(HOUR + 600),
        turn(HOUR + 300, thread=None, warm_up=True),
        reading(20, ago=HOUR),
        bob,
        turn(60, who=BOB, status=429, error_type="usage_limit_reached", tokens=Tokens()),
    )
