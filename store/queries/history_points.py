"""The course of limits in a bounded number of points: the document of ``/api/history``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.limit_status import BUDGET_COLUMNS, WINDOW_COLUMNS, budget_status, slots
from store.analysis.timeline import SeenWindows, window_resets
from store.constants import MAIN_LIMIT, flag
from store.kept.reading import ask_kept
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction, stream_mappings
from store.queries.kept_windows import WINDOWS, snapshots_number
from store.queries.limits import MAX_LIMITS
from store.queries.machines import with_silent_machines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from store.analysis.limit_status import WindowRow
    from store.connection import Connection
    from store.documents import HistoryPoint, HistoryPointsDocument, HistoryReset
    from store.kept.kind import Kept
    from store.queries.accounts import Account


class PointRange(NamedTuple):
    """The part of the history that is asked for: from `since` to `until` (Unix seconds), in steps of `step` seconds.

    A `step` of None stands for every snapshot, a `limit_id` of None for all limits.
    """

    since: float
    until: float
    step: int | None = None
    limit_id: str | None = None


def load_history_points(
    connection: Connection, span: PointRange, *, accounts: Sequence[Account], most: int
) -> HistoryPointsDocument:
    """Return what a chart needs: the newest `most` points of the range, the oldest first."""
    chosen = {account.id: account for account in in_order(accounts)}
    with read_transaction(connection):
        limits = _limits(connection, span, list(chosen))
        found = {limit: _points(connection, limit, span, most) for limit in limits}
        ids = sorted(row_id for points in found.values() for row_id in (*points.standing, *points.within))
        newest = ids[-most:] if most else []
        snapshots = _snapshots(connection, newest)
        left_out = _number(connection, span, found, most) - len(newest)
    document: HistoryPointsDocument = {
        "since": span.since,
        "until": span.until,
        "step_seconds": span.step,
        "left_out": left_out,
        "accounts": [account.reference for account in chosen.values()],
        "entries": [_entry(each, chosen[each.row["account"]]) for each in snapshots],
        "resets": _resets(snapshots, chosen, span.until),
    }
    return with_silent_machines(document, connection, span.until, list(chosen.values()))


def empty_history_points(span: PointRange) -> HistoryPointsDocument:
    """Return the document of a database that does not exist yet."""
    return {
        "since": span.since,
        "until": span.until,
        "step_seconds": span.step,
        "left_out": 0,
        "accounts": [],
        "entries": [],
        "resets": [],
    }


def _limits(connection: Connection, span: PointRange, ids: Sequence[int]) -> list[tuple[int, str]]:
    found = []
    for account in sorted(ids):
        rows = connection.execute(
            "SELECT limit_id FROM limits WHERE account = :account AND (:limit_id IS NULL OR limit_id = :limit_id)"
            " ORDER BY limit_id != :main, limit_id LIMIT :most",
            {"account": account, "limit_id": span.limit_id, "main": MAIN_LIMIT, "most": MAX_LIMITS},
        )
        found += [(account, row[0]) for row in rows]
    return found


class _Points(NamedTuple):
    """The ids of the points of a limit: that which stood at the start, and those within, the newest at least."""

    standing: set[int]
    within: set[int]


def _points(connection: Connection, limit: tuple[int, str], span: PointRange, most: int) -> _Points:
    """Return the points of a limit; the index has the snapshots by ``first_seen_at``."""
    values = {**span._asdict(), "account": limit[0], "limit_id": limit[1], "most": most}
    standing = {row[0] for row in connection.execute(_STANDING, values)}
    if span.step is not None:
        return _Points(standing, {row_id for row in connection.execute(_STEPS, values) for row_id in row})
    return _Points(standing, {row[0] for row in connection.execute(_NEWEST, values)})


def _number(connection: Connection, span: PointRange, found: Mapping[tuple[int, str], _Points], most: int) -> int:
    """Return the number of all points of limits, those included that are older than the newest."""
    has_older = [limit for limit, points in found.items() if span.step is None and len(points.within) >= most]

    def count(kept: Kept | None) -> int:
        return sum(snapshots_number(connection, kept, limit, span.since, span.until) for limit in has_older)

    older = (ask_kept(connection, WINDOWS, count) or count(None)) if has_older else 0
    return older + sum(
        len(points.standing) + (0 if limit in has_older else len(points.within)) for limit, points in found.items()
    )


_OF_LIMIT = "FROM snapshots WHERE account = :account AND limit_id = :limit_id AND late = 0"
_STANDING = (
    f"SELECT id FROM (SELECT id, last_seen_at {_OF_LIMIT} AND first_seen_at < :since"  # noqa: S608 (constant)
    " ORDER BY first_seen_at DESC, id DESC LIMIT 1) AS standing WHERE last_seen_at >= :since"
)
_IN_RANGE = "first_seen_at >= :since AND first_seen_at <= :until"
_NEWEST = f"SELECT id {_OF_LIMIT} AND {_IN_RANGE} ORDER BY first_seen_at DESC, id DESC LIMIT :most"

_STEP_END = "(CAST(at / :step AS BIGINT) + 1) * :step"
_STEPS = f"""
WITH RECURSIVE steps (at, searched) AS (
    SELECT
        (SELECT first_seen_at {_OF_LIMIT} AND {_IN_RANGE} ORDER BY first_seen_at LIMIT 1),
        CAST(:since AS DOUBLE PRECISION)
    UNION ALL
    SELECT
        (
            SELECT first_seen_at {_OF_LIMIT} AND first_seen_at >= {_STEP_END} AND first_seen_at <= :until
            ORDER BY first_seen_at LIMIT 1
        ),
        CAST({_STEP_END} AS DOUBLE PRECISION)
    FROM steps
    -- Where a row and its entry in the index differ, the walk ends.
    WHERE at >= searched
)
SELECT
    (SELECT id {_OF_LIMIT} AND first_seen_at >= at ORDER BY first_seen_at, id LIMIT 1),
    (
        SELECT id {_OF_LIMIT} AND first_seen_at < {_STEP_END} AND first_seen_at <= :until
        ORDER BY first_seen_at DESC, id DESC LIMIT 1
    )
FROM steps WHERE at IS NOT NULL
"""  # noqa: S608 (constants)
"""The first and the last snapshot of each step that has some: a few seeks for a step, however many snapshots it has.

Steps begin at multiples of their length, so that a request a second later gets the same rows.
"""

_COLUMNS = (
    f"id, account, limit_id, limit_name, first_seen_at, last_seen_at, observations, {WINDOW_COLUMNS},"
    f" {BUDGET_COLUMNS}, limit_reached, plan_type, source, status, model, thread"
)
_BATCH = 500
"""Rows per statement."""


class _Snapshot(NamedTuple):
    """A row of a snapshot, and its windows by slot."""

    row: Mapping[str, Any]
    windows: dict[str, WindowRow]


def _snapshots(connection: Connection, ids: Sequence[int]) -> list[_Snapshot]:
    found: list[_Snapshot] = []
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        marks = ",".join("?" * len(part))
        statement = f"SELECT {_COLUMNS} FROM snapshots WHERE id IN ({marks}) ORDER BY id"  # noqa: S608 (marks)
        found += [_Snapshot(row, dict(slots(row))) for row in stream_mappings(connection, statement, part)]
    return found


def _resets(snapshots: Sequence[_Snapshot], chosen: dict[int, Account], until: float) -> list[HistoryReset]:
    """Return the resets between the points of each limit, and those that were due after the last one."""
    by_limit: dict[tuple[int, str], list[SeenWindows]] = {}
    for row, windows in snapshots:
        reading = SeenWindows(row["first_seen_at"], row["last_seen_at"], windows)
        by_limit.setdefault((row["account"], row["limit_id"]), []).append(reading)
    found: list[HistoryReset] = [
        {
            "account": chosen[account].key,
            "limit_id": limit_id,
            "window": slot,
            "at": reset.at,
            "unseen": reset.unseen,
        }
        for (account, limit_id), of_limit in by_limit.items()
        for slot, reset in window_resets(of_limit, until)
    ]
    return sorted(found, key=lambda reset: reset["at"])


def _entry(snapshot: _Snapshot, account: Account) -> HistoryPoint:
    row, windows = snapshot
    return {
        "id": row["id"],
        "account": account.key,
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "first_seen_at": row["first_seen_at"],
        "last_seen_at": row["last_seen_at"],
        "observations": row["observations"],
        "windows": {slot: window.document for slot, window in windows.items()},
        "budget": budget_status(row),
        "limit_reached": flag(row["limit_reached"]),
        "plan_type": row["plan_type"],
        "source": row["source"],
        "status": row["status"],
        "model": row["model"],
        "thread": row["thread"],
    }
