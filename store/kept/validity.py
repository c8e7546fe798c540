"""How far kept rows still hold for a state of the database.

They were compared with the database at a **position**: its newest snapshot, turn and edit. Of what came after that,
three things end their validity: rows that arrived late, which have times before the end of the coverage; entries of the
table `edits`; and another database at the path.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from store.kept.kind import FINAL_SECONDS, Coverage, ceil_to, floor_to

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence


class Position(NamedTuple):
    """The newest rows of a state of a database, with their times, and when the database was created.

    The times, and the creation as the table of migrations has it, tell one database from another at the same path.
    """

    created: str | None
    snapshot_id: int = 0
    snapshot_at: float | None = None
    request_id: int = 0
    request_at: float | None = None
    edit_id: int = 0
    edit_at: float | None = None


class Cut(NamedTuple):
    """Kept rows of an account (None: of all) that do not hold: those from ``since`` on, or those up to ``until``."""

    account: int | None
    since: float = 0.0
    until: float | None = None


class OtherStateError(Exception):
    """No kept row holds: they are of another database, or of a state of it that is not the one asked about."""


def position_of(source: sqlite3.Connection) -> Position:
    """Return the position of a state of the database."""
    created = source.execute(
        "SELECT CAST(min(applied_at) AS TEXT) FROM _sqlite_migrations WHERE migration_set = 'codex-tap'"
    ).fetchone()[0]
    newest = [tuple(source.execute(statement).fetchone() or (0, None)) for statement in _NEWEST]
    return Position(created, *newest[0], *newest[1], *newest[2])


def kept_position(kept: sqlite3.Connection) -> Position | None:
    """Return the position of the kept rows; None where nothing is kept yet."""
    row = kept.execute(f"SELECT {', '.join(Position._fields)} FROM position").fetchone()  # noqa: S608 (constants)
    return Position(*row) if row else None


def find_cuts(source: sqlite3.Connection, at: Position, now: Position) -> list[Cut]:
    """Return what does not hold any more of rows that were compared with the database at a position.

    Args:
        source: A state of the database.
        at: The position of the kept rows.
        now: The position of the state that `source` reads.

    Raises:
        OtherStateError: Nothing holds.

    """
    if at.created != now.created or at.edit_id > now.edit_id:
        raise OtherStateError
    edits = source.execute(_EDITS, (at.edit_id,)).fetchall()
    _check_rows(source, at, now, has_edits=bool(edits))
    found = [Cut(*edit) for edit in edits]
    found += [Cut(*row) for row in source.execute(_LATE_SNAPSHOTS, (at.snapshot_id,))]
    found += [Cut(*row) for row in source.execute(_LATE_TURNS, (at.request_id,))]
    if not edits and is_older(now, at):
        # What was final in the older state is the same in both.
        newest = max(now.snapshot_at or 0.0, now.request_at or 0.0)
        found.append(Cut(None, max(0.0, newest - FINAL_SECONDS)))
    return found


def is_older(one: Position, other: Position) -> bool:
    """Return True if a state without later edits is older than another, or of an older copy of the database."""
    return one.snapshot_id < other.snapshot_id or one.request_id < other.request_id


def _check_rows(source: sqlite3.Connection, at: Position, now: Position, *, has_edits: bool) -> None:
    for statement, row_id, seen_at, newest in (
        (_SNAPSHOT_TIME, at.snapshot_id, at.snapshot_at, now.snapshot_id),
        (_TURN_TIME, at.request_id, at.request_at, now.request_id),
        (_EDIT_TIME, at.edit_id, at.edit_at, now.edit_id),
    ):
        row = source.execute(statement, (row_id,)).fetchone()
        is_gone = row is None and 0 < row_id <= newest and not has_edits
        if is_gone or (row is not None and row[0] != seen_at):
            raise OtherStateError


def left_coverage(
    source: sqlite3.Connection, step: float, known: Mapping[int, Coverage], cuts: Sequence[Cut]
) -> dict[int, Coverage]:
    """Return what cuts leave of the coverage of accounts, in steps of so many seconds."""
    left = {}
    for account, coverage in known.items():
        since, until = coverage
        for cut in cuts:
            if cut.account is not None and cut.account != account:
                continue
            if cut.until is not None:
                since = max(since, ceil_to(step, _settled_at(source, account, cut.until)))
            elif cut.since <= until:
                until = floor_to(step, math.nextafter(cut.since, -math.inf))
        if since < until:
            left[account] = Coverage(since, until)
    return left


def stored_coverage(kept: sqlite3.Connection, kind: str) -> dict[int, Coverage]:
    """Return the coverage of each account as it was stored."""
    rows = kept.execute("SELECT account, since, until FROM coverage WHERE kind = ?", (kind,))
    return {account: Coverage(since, until) for account, since, until in rows}


def compare(source: sqlite3.Connection, kept: sqlite3.Connection) -> None:
    """Delete the kept rows that do not hold for a state of the database, and store that state's position.

    Call it while the one write lock of the kept rows is held, and with a state that was read since: so the positions of
    all who fill come one after the other.
    """
    at, now = kept_position(kept), position_of(source)
    if at == now:
        return
    cuts: Sequence[Cut] = ()
    if at is not None:
        try:
            # A state that is read now is older only in a copy that was put back: other rows may get the same ids.
            was_put_back = at.edit_id == now.edit_id and is_older(now, at)
            cuts = [Cut(None)] if was_put_back else find_cuts(source, at, now)
        except OtherStateError:
            cuts = [Cut(None)]
    if cuts:
        for name, step in kept.execute("SELECT name, step FROM kinds").fetchall():
            known = stored_coverage(kept, name)
            left = left_coverage(source, step, known, cuts)
            for account in known:
                if left.get(account) != known[account]:
                    store_coverage(kept, name, account, left.get(account))
                    delete_rows(kept, name, account, left.get(account))
    kept.execute("DELETE FROM position")
    places = ", ".join("?" * len(now))
    kept.execute(f"INSERT INTO position ({', '.join(Position._fields)}) VALUES ({places})", now)  # noqa: S608 (constants)


def store_coverage(kept: sqlite3.Connection, kind: str, account: int, coverage: Coverage | None) -> None:
    """Store the coverage of an account; None means that it has none."""
    kept.execute("DELETE FROM coverage WHERE kind = ? AND account = ?", (kind, account))
    if coverage is not None:
        kept.execute(
            "INSERT INTO coverage (kind, account, since, until) VALUES (?, ?, ?, ?)", (kind, account, *coverage)
        )


def delete_rows(kept: sqlite3.Connection, kind: str, account: int, coverage: Coverage | None) -> None:
    """Delete the rows of an account that are not within its coverage as a whole."""
    since, until = coverage or (math.inf, -math.inf)
    for table, span in kept.execute("SELECT name, span FROM kept_tables WHERE kind = ?", (kind,)).fetchall():
        kept.execute(
            f"DELETE FROM {table} WHERE account = ? AND (at <= ? OR at < ? OR at > ?)",  # noqa: S608 (a table of the file)
            (account, since, since + span, until),
        )


def _settled_at(source: sqlite3.Connection, account: int, before: float) -> float:
    """Return from when on each row of an account has those before it that it always had.

    All rows from before a time may have been deleted, and the first remaining row of a limit has none before it.
    """
    (at,) = source.execute(_FIRST_REMAINING, {"account": account, "before": before}).fetchone()
    return max(before, at or 0.0)


_NEWEST = (
    "SELECT id, first_seen_at FROM snapshots ORDER BY id DESC LIMIT 1",
    "SELECT id, ended_at FROM requests ORDER BY id DESC LIMIT 1",
    "SELECT id, at FROM edits ORDER BY id DESC LIMIT 1",
)

_SNAPSHOT_TIME = "SELECT first_seen_at FROM snapshots WHERE id = ?"
_TURN_TIME = "SELECT ended_at FROM requests WHERE id = ?"
_EDIT_TIME = "SELECT at FROM edits WHERE id = ?"
_EDITS = "SELECT account, since, until FROM edits WHERE id > ? ORDER BY id"

_LATE_SNAPSHOTS = "SELECT account, min(first_seen_at) FROM snapshots WHERE id > ? GROUP BY +account"
"""A row that is marked as late was overtaken on its way; it counts in how many there are, and in nothing else."""

_LATE_TURNS = (
    "SELECT account, min(min(started_at, ended_at, coalesce(first_byte_at, started_at))) FROM requests WHERE id > ?"
    " GROUP BY +account"
)
"""A turn explains increases from its start on; the clock may have been set back meanwhile."""

_FIRST_REMAINING = """
SELECT max((
    SELECT s.first_seen_at FROM snapshots s
    WHERE s.account = l.account AND s.limit_id = l.limit_id AND s.late = 0 AND s.last_seen_at >= :before
    ORDER BY s.first_seen_at LIMIT 1
)) FROM limits l WHERE l.account = :account
"""
