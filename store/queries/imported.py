"""What session files tell of limits from before the tap first saw them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.attribution import WindowSample
from store.analysis.imported_readings import ordered
from store.analysis.limit_status import SLOT_COLUMNS, WINDOW_COLUMNS, WindowRow, other_windows, slots
from store.queries.cursors import tuple_cursor

if TYPE_CHECKING:
    from store.connection import Connection


class ImportState(NamedTuple):
    """Since when an account is known (Unix seconds; None if none is), and whether a session file was ever read."""

    known_since: float | None
    has_imports: bool


def import_state(connection: Connection) -> ImportState:
    """Return what tells whether an import is still to be made."""
    since, has_imports = connection.execute(
        "SELECT (SELECT min(first_seen_at) FROM accounts), EXISTS (SELECT 1 FROM imported_files)"
    ).fetchone()
    return ImportState(since, bool(has_imports))


def imported_limit_ids(connection: Connection) -> list[str]:
    """Return the ids of the limits of session files."""
    rows = connection.execute("SELECT DISTINCT limit_id FROM imported_limits ORDER BY limit_id")
    return [row[0] for row in rows]


def imported_windows(connection: Connection, account: int, limit_id: str | None) -> dict[str, int | None]:
    """Return the slots of the windows that an account's limit had last in its session files, and their minutes."""
    row = connection.execute(
        f"SELECT {WINDOW_COLUMNS} FROM imported_limits WHERE account = ? AND limit_id = ?"  # noqa: S608 (constants)
        " ORDER BY first_seen_at DESC LIMIT 1",
        (account, limit_id),
    ).fetchone()
    return {slot: window.window_minutes for slot, window in slots(row)} if row else {}


def imported_samples(
    connection: Connection,
    account: int,
    limit_id: str | None,
    slot: str,
    *,
    since: float,
    until: float = math.inf,
    before: int = 1,
    after: int = 0,
) -> list[WindowSample]:
    """Return the samples of a window from session files, up to the first snapshot of its limit.

    They are those with ``since <= first_at < until`` (Unix seconds), and so many before and after them.
    """
    cursor = tuple_cursor(connection)
    (first,) = cursor.execute(
        "SELECT min(first_seen_at) FROM snapshots WHERE account = ? AND limit_id = ?", (account, limit_id)
    ).fetchone()
    first = math.inf if first is None else first
    columns = ", ".join(SLOT_COLUMNS.get(slot, ["other_windows"]))
    select = f"SELECT first_seen_at, last_seen_at, {columns} FROM imported_limits WHERE account = ? AND limit_id = ?"  # noqa: S608 (constants)
    order = "ORDER BY first_seen_at"
    start, end = min(since, first), min(until, first)
    found = cursor.execute(
        f"{select} AND first_seen_at >= ? AND first_seen_at < ?", (account, limit_id, start, end)
    ).fetchall()
    found += cursor.execute(f"{select} AND first_seen_at < ? {order} DESC LIMIT ?", (account, limit_id, start, before))
    found += cursor.execute(
        f"{select} AND first_seen_at >= ? AND first_seen_at < ? {order} LIMIT ?",
        (account, limit_id, end, first, after),
    )
    samples = []
    for first_at, last_at, *figures in found:
        window = WindowRow(*figures) if slot in SLOT_COLUMNS else other_windows(figures[0]).get(slot, WindowRow())
        if window.used_percent is not None:
            samples.append(
                WindowSample(first_at, last_at, window.used_percent, window.window_minutes, window.resets_at)
            )
    return ordered(samples, first)
