"""Snapshots as the addon makes them, written short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.models import Identity, Limit, RateLimits, Snapshot, Source, Transport, Turn, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = 1_795_262_400
"""A moment (2026-11-21 12:00 UTC) that cases count from."""

ALICE = Identity(token_key="alice~0000000001", account_id="acct-a", user_id="user-a", email="alice@example.com")
BOB = Identity(token_key="bob~0000000002", account_id="acct-b", user_id="user-b", email="bob@example.com")


def windows(five: float | None = None, seven: float | None = None, *, at: float = NOON) -> dict[str, Window]:
    """The usual two windows by their used percent; resets are fixed moments after `at`."""
    lengths = (("5h", five, 300, 9_000), ("7d", seven, 10_080, 300_000))
    return {
        slot: Window(used_percent=used, window_minutes=minutes, resets_at=int(at) + after)
        for slot, used, minutes, after in lengths
        if used is not None
    }


def limit(found: Mapping[str, Window] | None = None, **fields: Any) -> Limit:
    """The main limit, unless `fields` say otherwise."""
    return Limit(windows=None if found is None else dict(found), **fields)


def snapshot(
    *limits: Limit,
    who: Identity = ALICE,
    at: float = NOON,
    source: Source = Source.HEADERS,
    status: int | None = 200,
    requested_at: float | None = None,
    **reading: Any,
) -> Snapshot:
    """One message about `limits`; `reading` are fields of `Reading` (plan_type, credits, server_time, …)."""
    return Snapshot(
        identity=who,
        observed_at=at,
        requested_at=requested_at,
        source=source,
        status=status,
        reading=RateLimits(limits=limits, **reading),
    )


def used(five: float, seven: float = 40.0, *, at: float = NOON, **fields: Any) -> Snapshot:
    """A message about the main limit's two windows, whose resets do not move."""
    return snapshot(limit(windows(five, seven)), at=at, **fields)


def turn(thread: str | None = "t-1", *, who: Identity = ALICE, at: float = NOON, **fields: Any) -> Turn:
    """A turn that ended at `at`, five seconds after it was asked for."""
    return Turn(identity=who, transport=Transport.WEBSOCKET, started_at=at - 5, ended_at=at, thread=thread, **fields)
