"""How much was recorded, when last, and what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.connection import is_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from store.connection import Connection


class Summary(NamedTuple):
    """The contents of a database, for ``doctor``; ``last_seen_at`` is that of the newest reading (Unix seconds)."""

    accounts: int
    snapshots: int
    last_seen_at: float | None


def load_summary(connection: Connection) -> Summary:
    """Return the contents of the database."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM snapshots),"
        " (SELECT max(s.last_seen_at) FROM limits l JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id)"
    ).fetchone()
    return Summary(*row)


class TeamSummary(NamedTuple):
    """Who ships to a team's database, for ``doctor``; ``last_heard_at`` is when a machine last did (Unix seconds)."""

    accounts: int
    machines: int
    last_heard_at: float | None


def load_team_summary(connection: Connection) -> TeamSummary:
    """Return who ships to a team's database."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM machines),"
        " (SELECT max(last_seen_at) FROM machines)"
    ).fetchone()
    return TeamSummary(*row)


def count_unreadable(connection: Connection) -> int:
    """Return the number of limits whose newest reading is damaged; the next reading of each begins a new row.

    A team's database has none: it takes no row with a value that cannot be.
    """
    if not is_file(connection):
        return 0
    row = connection.execute(
        "SELECT count(*) FROM main.limits l WHERE NOT EXISTS (SELECT 1 FROM limits o JOIN snapshots s"
        " ON s.id = o.snapshot_id WHERE o.account = l.account AND o.limit_id = l.limit_id)"
    ).fetchone()
    return int(row[0])


class Losses(NamedTuple):
    """Readings that could not be stored: their number, the time of the last (Unix seconds), and the reasons."""

    number: int
    last_at: float
    reasons: tuple[str, ...]


def load_losses(connection: Connection) -> Losses | None:
    """Return the readings that were lost; None if there are none."""
    rows = connection.execute(
        "SELECT reason, sum(count) AS number, max(at) AS last_at FROM losses GROUP BY reason ORDER BY number DESC"
    ).fetchall()
    if not rows:
        return None
    return Losses(
        sum(row["number"] for row in rows), max(row["last_at"] for row in rows), tuple(row["reason"] for row in rows)
    )


class LastRead(NamedTuple):
    """When Codex was last read (Unix seconds); None if nothing is stored.

    ``newest_deleted`` is true if rows that were stored later have been deleted, with an account, say.
    """

    at: float | None
    newest_deleted: bool


def load_last_read(connection: Connection) -> LastRead:
    """Return when the newest reading or turn was stored."""
    found = connection.execute(
        "SELECT (SELECT max(s.last_seen_at) FROM limits l JOIN snapshots s ON s.account = l.account"
        " AND s.id = l.snapshot_id), (SELECT max((SELECT r.ended_at FROM requests r WHERE r.account = a.id"
        " AND r.imported = 0 ORDER BY r.ended_at DESC LIMIT 1)) FROM accounts a)"
    ).fetchone()
    stored = [at for at in found if at is not None]
    return LastRead(max(stored, default=None), _is_newest_deleted(connection))


def _is_newest_deleted(connection: Connection) -> bool:
    if not is_file(connection):
        return False
    # sqlite_sequence has the highest id that was ever given.
    (deleted,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM sqlite_sequence WHERE"
        " name = 'snapshots' AND seq > (SELECT coalesce(max(id), 0) FROM snapshots)"
        " OR name = 'requests' AND seq > (SELECT coalesce(max(id), 0) FROM requests))"
    ).fetchone()
    return bool(deleted)


def load_last_turns(connection: Connection, threads: Collection[str]) -> dict[str, float]:
    """Return when the last turn of each thread ended (Unix seconds, exact to a minute); unknown threads are left out.

    A client that names no thread is found by its session, in the newest turns.
    """
    if not threads:
        return {}
    rows = connection.execute(
        f"WITH wanted (id) AS (VALUES {', '.join(['(?)'] * len(threads))})"  # noqa: S608 (marks)
        " SELECT id, max(at) FROM ("
        # A thread of a client without threads is a session; one that was only imported is not read.
        "SELECT thread AS id, ended_at AS at FROM requests WHERE thread IN (SELECT id FROM wanted) AND imported = 0"
        " UNION ALL SELECT thread, last_seen_at FROM threads"
        " WHERE thread IN (SELECT id FROM wanted) AND is_session = 1"
        " UNION ALL SELECT session, ended_at FROM requests"
        " WHERE id > (SELECT max(id) FROM requests) - ? AND session IN (SELECT id FROM wanted) AND imported = 0"
        ") AS seen GROUP BY id",
        (*threads, _NEWEST_TURNS),
    )
    return {row[0]: row[1] for row in rows}


_NEWEST_TURNS = 10_000
