"""Readings of a window and turns, brought to a database as rows."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from store.constants import MAIN_LIMIT
from store.database import open_writer, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from store.analysis.attribution import TurnUse, WindowSample

WEEK_MINUTES = 10_080


class Told(NamedTuple):
    """What a database is to hold of one account: readings of its 7d window, and its turns."""

    sights: Iterable[WindowSample]
    turns: Iterable[TurnUse]
    email: str = "alice@example.com"
    limit_id: str = MAIN_LIMIT


def keep(path: Path, *told: Told) -> Path:
    """Bring what was told to the database at `path`, in its order, and return the path."""
    with contextlib.closing(open_writer(path)) as connection, transaction(connection):
        for each in told:
            account = _account(connection, each.email)
            _keep_sights(connection, account, each)
            for turn in each.turns:
                _keep_turn(connection, account, each.limit_id, turn)
    return path


def _account(connection: sqlite3.Connection, email: str) -> int:
    name = email.partition("@")[0]
    (account,) = connection.execute(
        "INSERT INTO accounts (account_id, user_id, email, first_seen_at, last_seen_at) VALUES (?, ?, ?, 0, 0)"
        " ON CONFLICT DO UPDATE SET email = excluded.email RETURNING id",
        (f"acct-{name}", f"user-{name}", email),
    ).fetchone()
    return int(account)


def _keep_sights(connection: sqlite3.Connection, account: int, told: Told) -> None:
    newest = None
    for first_at, last_at, used, minutes, resets_at in told.sights:
        newest = connection.execute(
            "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at,"
            " used_7d_percent, window_7d_minutes, resets_7d_at, source, raw)"
            " VALUES (?, 'k~0', ?, ?, ?, ?, ?, ?, ?, 'headers', '{}')",
            (account, told.limit_id, first_at, last_at, last_at, used, minutes, resets_at),
        ).lastrowid
    if newest is not None:
        connection.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", (account, told.limit_id, newest))


def _keep_turn(connection: sqlite3.Connection, account: int, limit_id: str, turn: TurnUse) -> None:
    connection.execute(
        "INSERT INTO requests (account, token_key, limit_id, transport, started_at, first_byte_at, ended_at, thread,"
        " model, warm_up, status, input_tokens, cached_tokens, output_tokens, reasoning_tokens)"
        " VALUES (?, 'k~0', ?, 'websocket', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (account, limit_id, *turn),
    )
    if turn.thread is not None:
        connection.execute(
            "INSERT INTO threads (account, thread, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last_seen_at = max(last_seen_at, excluded.last_seen_at)",
            (account, turn.thread, turn.started_at, turn.ended_at),
        )
