"""Snapshots as the addon makes them, and rows of samples and turns, written short."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from store.constants import MAIN_LIMIT
from store.database import open_writer, transaction
from store.models import Identity, Limit, RateLimits, Snapshot, Source, Transport, Turn, Window

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from store.analysis.attribution import TurnUse, WindowSample

NOON = 1_795_262_400
"""The time (2026-11-21 12:00 UTC) that cases count from."""

ALICE = Identity(token_key="alice~0000000001", account_id="acct-a", user_id="user-a", email="alice@example.com")
BOB = Identity(token_key="bob~0000000002", account_id="acct-b", user_id="user-b", email="bob@example.com")


def windows(five: float | None = None, seven: float | None = None, *, at: float = NOON) -> dict[str, Window]:
    """The usual two windows by their used percent; resets are at fixed times after `at`."""
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
    """One message about `limits`; `reading` are fields of `RateLimits` (plan_type, credits, server_time, …)."""
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
    """A turn that ended at `at`, five seconds after its request."""
    return Turn(identity=who, transport=Transport.WEBSOCKET, started_at=at - 5, ended_at=at, thread=thread, **fields)


WEEK_MINUTES = 10_080


class AccountHistory(NamedTuple):
    """The rows of one account: readings of its 7d window, and its turns."""

    samples: Iterable[WindowSample]
    turns: Iterable[TurnUse]
    email: str = "alice@example.com"
    limit_id: str = MAIN_LIMIT


def insert_history(path: Path, *histories: AccountHistory) -> Path:
    """Insert the rows of accounts into the database at `path`, in the given order, and return the path."""
    with contextlib.closing(open_writer(path)) as connection, transaction(connection):
        for each in histories:
            account = _account(connection, each.email)
            _insert_samples(connection, account, each)
            for turn in each.turns:
                _insert_turn(connection, account, each.limit_id, turn)
    return path


def _account(connection: sqlite3.Connection, email: str) -> int:
    name = email.partition("@")[0]
    (account,) = connection.execute(
        "INSERT INTO accounts (account_id, user_id, email, first_seen_at, last_seen_at) VALUES (?, ?, ?, 0, 0)"
        " ON CONFLICT DO UPDATE SET email = excluded.email RETURNING id",
        (f"acct-{name}", f"user-{name}", email),
    ).fetchone()
    return int(account)


def _insert_samples(connection: sqlite3.Connection, account: int, history: AccountHistory) -> None:
    newest = None
    for first_at, last_at, used, minutes, resets_at in history.samples:
        newest = connection.execute(
            "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at,"
            " used_7d_percent, window_7d_minutes, resets_7d_at, source, raw)"
            " VALUES (?, 'k~0', ?, ?, ?, ?, ?, ?, ?, 'headers', '{}')",
            (account, history.limit_id, first_at, last_at, last_at, used, minutes, resets_at),
        ).lastrowid
    if newest is not None:
        connection.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?, 0)", (account, history.limit_id, newest))


def _insert_turn(connection: sqlite3.Connection, account: int, limit_id: str, turn: TurnUse) -> None:
    columns = {name: value for name, value in turn._asdict().items() if name != "machine"}
    connection.execute(
        f"INSERT INTO requests (account, token_key, limit_id, transport, {', '.join(columns)})"  # noqa: S608 (constants)
        f" VALUES (?, 'k~0', ?, 'websocket'{', ?' * len(columns)})",
        (account, limit_id, *columns.values()),
    )
    if turn.thread is not None:
        connection.execute(
            "INSERT INTO threads (account, thread, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last_seen_at = max(last_seen_at, excluded.last_seen_at)",
            (account, turn.thread, turn.started_at, turn.ended_at),
        )
