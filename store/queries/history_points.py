"""How did it come to this, in so many points?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.limit_status import WINDOW_COLUMNS, flag, slots
from store.queries.accounts import refresh_sorted
from store.queries.cursors import read_transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.queries.accounts import Account


class PointRange(NamedTuple):
    """What of the history is wanted: from a moment to another (Unix seconds), in steps of so many seconds.

    A `step` of None wants every row. `limit_id` None wants all limits.
    """

    since: float
    until: float
    step: int | None = None
    limit_id: str | None = None


def load_history_points(
    connection: sqlite3.Connection, span: PointRange, *, accounts: Sequence[Account] | None = None, most: int
) -> dict[str, Any]:
    """Answer "how did it come to this?" with what a chart needs, the oldest first.

    Of each limit it is the row that stood at the beginning, and in each step the first row and the last. Rows that were
    overtaken on their way are left out. Of more than `most` entries the newest are given::

        {"since": float, "until": float, "step_seconds": int | null, "left_out": int,
         "accounts": [{"account": key, "name": str | null, "email": str | null}],
         "entries": [{"id": int, "account": key, "limit_id": "codex", "limit_name": null, "first_seen_at": float,
                      "last_seen_at": float, "observations": int,
                      "windows": {"5h": {"used_percent": 13.0, "window_minutes": 300, "resets_at": 1795252200}},
                      "limit_reached": null, "plan_type": "plus", "source": "headers", "status": 200, "model": null,
                      "thread": null}]}
    """
    with read_transaction(connection):
        chosen = {account.id: account for account in refresh_sorted(connection, accounts)}
        found = sorted(
            row_id for limit in _limits(connection, span, list(chosen)) for row_id in _row_ids(connection, limit, span)
        )
        kept = found[-most:] if most else []
        entries = [_entry(row, chosen[row["account"]]) for row in _rows(connection, kept)]
    return {
        "since": span.since,
        "until": span.until,
        "step_seconds": span.step,
        "left_out": len(found) - len(kept),
        "accounts": [account.named for account in chosen.values()],
        "entries": entries,
    }


def _limits(connection: sqlite3.Connection, span: PointRange, ids: Sequence[int]) -> list[tuple[int, str]]:
    rows = connection.execute("SELECT account, limit_id FROM limits ORDER BY account, limit_id")
    wanted = set(ids)
    return [(row[0], row[1]) for row in rows if row[0] in wanted and span.limit_id in {None, row[1]}]


def _row_ids(connection: sqlite3.Connection, limit: tuple[int, str], span: PointRange) -> set[int]:
    """Return the ids of the rows of a limit that are shown; the index of `snapshots` has them by their beginning."""
    values = {**span._asdict(), "account": limit[0], "limit_id": limit[1]}
    found = {row[0] for row in connection.execute(_STANDING, values)}
    for row in connection.execute(_EVERY if span.step is None else _STEPS, values):
        found.update(row)
    return found


_OF_LIMIT = "FROM snapshots WHERE account = :account AND limit_id = :limit_id AND late = 0"
_STANDING = (
    f"SELECT id FROM (SELECT id, last_seen_at {_OF_LIMIT} AND first_seen_at < :since"  # noqa: S608 (constant)
    " ORDER BY first_seen_at DESC, id DESC LIMIT 1) WHERE last_seen_at >= :since"
)
_WITHIN = f"{_OF_LIMIT} AND first_seen_at >= :since AND first_seen_at <= :until"
_EVERY = f"SELECT id {_WITHIN}"
# Steps begin at round moments, so that the same rows are shown a moment later.
_STEPS = f"SELECT min(id), max(id) {_WITHIN} GROUP BY CAST(first_seen_at / :step AS INTEGER)"

_COLUMNS = (
    f"id, account, limit_id, limit_name, first_seen_at, last_seen_at, observations, {WINDOW_COLUMNS},"
    " limit_reached, plan_type, source, status, model, thread"
)
_AT_ONCE = 500
"""How many rows one statement asks for."""


def _rows(connection: sqlite3.Connection, ids: Sequence[int]) -> list[sqlite3.Row]:
    found: list[sqlite3.Row] = []
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        found += connection.execute(f"SELECT {_COLUMNS} FROM snapshots WHERE id IN ({marks}) ORDER BY id", part)  # noqa: S608 (marks)
    return found


def _entry(row: sqlite3.Row, account: Account) -> dict[str, Any]:
    return {
        "id": row["id"],
        "account": account.key,
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "first_seen_at": row["first_seen_at"],
        "last_seen_at": row["last_seen_at"],
        "observations": row["observations"],
        "windows": {slot: figures._asdict() for slot, figures in slots(dict(row))},
        "limit_reached": flag(row["limit_reached"]),
        "plan_type": row["plan_type"],
        "source": row["source"],
        "status": row["status"],
        "model": row["model"],
        "thread": row["thread"],
    }
