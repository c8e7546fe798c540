"""How what is known stands in rows: the statements of the recorder.

Every function here belongs inside `store.database.transaction`, which holds the one write lock, so that what is read is
what will be changed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from store.merge import Facts, State, Verdict
from store.models import Window

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from store.models import Identity, Snapshot


class Newest(NamedTuple):
    """The newest row of a limit: its id, its state, and when it was told, by the server's clock and by ours."""

    row_id: int
    state: State
    server_time: float | None
    windows_seen_at: float | None


def data_version(connection: sqlite3.Connection) -> int:
    """Return a figure that changes when another connection changed the file."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def find_facts(connection: sqlite3.Connection, account: int) -> Facts | None:
    """Return the newest facts told of an account as a whole."""
    row = connection.execute(
        f"SELECT {_FACT_COLUMNS} FROM snapshots"  # noqa: S608 (constant columns)
        " WHERE id = (SELECT snapshot_id FROM accounts WHERE id = ?)",
        (account,),
    ).fetchone()
    return _facts(row) if row else None


def find_newest(connection: sqlite3.Connection, account: int, limit_id: str) -> Newest | None:
    """Return the newest row of a limit."""
    row = connection.execute(
        f"SELECT id, server_time, windows_seen_at, {_STATE_COLUMNS} FROM snapshots"  # noqa: S608 (constant columns)
        " WHERE id = (SELECT snapshot_id FROM limits WHERE account = ? AND limit_id = ?)",
        (account, limit_id),
    ).fetchone()
    return Newest(row[0], _state(row[3:]), row[1], row[2]) if row else None


def save_identity(connection: sqlite3.Connection, identity: Identity, seen_at: float) -> int:
    """Note that an account's token was seen and return the account's row id."""
    (account,) = connection.execute(
        "INSERT INTO accounts (account_id, user_id, email, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET email = coalesce(excluded.email, email), last_seen_at = excluded.last_seen_at"
        " RETURNING id",
        (identity.account_id, identity.user_id, identity.email, seen_at, seen_at),
    ).fetchone()
    connection.execute(
        "INSERT INTO tokens (token_key, account, first_seen_at, last_seen_at, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET last_seen_at = excluded.last_seen_at",
        (identity.token_key, account, seen_at, seen_at, identity.expires_at),
    )
    return int(account)


def insert_snapshot(
    connection: sqlite3.Connection,
    account: int,
    limit_id: str,
    snapshot: Snapshot,
    state: State,
    *,
    windows_seen_at: float | None,
    late: bool = False,
    current: bool = True,
) -> int:
    """Open a new row for a state and return its id; one that is not `current` is not how the limit stands now."""
    cursor = connection.execute(
        _INSERT_SNAPSHOT,
        (
            account,
            snapshot.identity.token_key,
            limit_id,
            snapshot.observed_at,
            snapshot.observed_at,
            windows_seen_at,
            late,
            snapshot.reading.server_time,
            snapshot.source.value,
            snapshot.status,
            snapshot.model,
            snapshot.thread,
            json.dumps(snapshot.reading.raw, ensure_ascii=False),
            *_state_values(state),
        ),
    )
    row_id = int(cursor.lastrowid or 0)
    if current:
        connection.execute(
            "INSERT INTO limits (account, limit_id, snapshot_id) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET snapshot_id = excluded.snapshot_id",
            (account, limit_id, row_id),
        )
    return row_id


def touch_snapshot(
    connection: sqlite3.Connection, row_id: int, snapshot: Snapshot, state: State, *, windows_seen_at: float | None
) -> None:
    """Note that a row's state was seen again; resets of unused windows slide on."""
    five, seven, others = _window_values(state.windows)
    connection.execute(
        "UPDATE snapshots SET last_seen_at = ?, windows_seen_at = ?, observations = observations + 1,"
        " server_time = coalesce(?, server_time), resets_5h_at = ?, resets_7d_at = ?, other_windows = ? WHERE id = ?",
        (snapshot.observed_at, windows_seen_at, snapshot.reading.server_time, five[2], seven[2], others, row_id),
    )


def point_facts(connection: sqlite3.Connection, account: int, row_id: int) -> None:
    """Make a row the one that tells an account's facts."""
    connection.execute("UPDATE accounts SET snapshot_id = ? WHERE id = ?", (row_id, account))


# How a state stands in a row

_FACT_NAMES = (
    "plan_type",
    "has_credits",
    "credits_unlimited",
    "credits_balance",
    "overage_limit_reached",
    "spend_control_reached",
    "reset_credits",
    "promo",
)
_STATE_NAMES = (
    "limit_name",
    "used_5h_percent",
    "window_5h_minutes",
    "resets_5h_at",
    "used_7d_percent",
    "window_7d_minutes",
    "resets_7d_at",
    "other_windows",
    "allowed",
    "limit_reached",
    "reached_type",
    "reached_until",
    *_FACT_NAMES,
)
_FACT_COLUMNS = ", ".join(_FACT_NAMES)
_STATE_COLUMNS = ", ".join(_STATE_NAMES)
_MESSAGE_COLUMNS = (
    "account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at, late, server_time,"
    " source, status, model, thread, raw"
)
_INSERT_SNAPSHOT = (
    f"INSERT INTO snapshots ({_MESSAGE_COLUMNS}, {_STATE_COLUMNS})"  # noqa: S608 (constant columns)
    f" VALUES ({', '.join('?' * (13 + len(_STATE_NAMES)))})"
)

_WindowValues = tuple[float | None, int | None, int | None]


def _window_values(windows: Mapping[str, Window]) -> tuple[_WindowValues, _WindowValues, str | None]:
    """Return the figures of ``5h`` and ``7d``, and the other slots as JSON."""
    values = {slot: (w.used_percent, w.window_minutes, w.resets_at) for slot, w in windows.items()}
    five = values.pop("5h", (None, None, None))
    seven = values.pop("7d", (None, None, None))
    return five, seven, json.dumps(values) if values else None


def _state_values(state: State) -> tuple[Any, ...]:
    five, seven, others = _window_values(state.windows)
    return (state.limit_name, *five, *seven, others, *state.verdict, *state.facts)


def _state(row: tuple[Any, ...]) -> State:
    """Rebuild a state from the values of `_STATE_NAMES`."""
    slots: dict[str, _WindowValues] = {"5h": row[1:4], "7d": row[4:7], **json.loads(row[7] or "{}")}
    windows = {
        slot: Window(used_percent=used, window_minutes=minutes, resets_at=resets_at)
        for slot, (used, minutes, resets_at) in slots.items()
        if (used, minutes, resets_at) != (None, None, None)
    }
    verdict = Verdict(_flag(row[8]), _flag(row[9]), row[10], row[11])
    return State(row[0], windows, verdict, _facts(row[12:]))


def _facts(row: tuple[Any, ...]) -> Facts:
    plan_type, has_credits, unlimited, balance, overage, spend_control, reset_credits, promo = row
    return Facts(
        plan_type,
        _flag(has_credits),
        _flag(unlimited),
        balance,
        _flag(overage),
        _flag(spend_control),
        reset_credits,
        promo,
    )


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)
