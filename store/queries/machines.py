"""The machines of a team's database: when each was last heard, and which were not for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.connection import is_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection
    from store.documents import SilentMachine, TeamMachine
    from store.queries.accounts import Account

SILENT_SECONDS = 15 * 60
"""A machine that was not heard for this long is silent; a running one is heard every minute or so."""

GONE_SECONDS = 30 * 86_400
"""One that was not heard for this long is taken to be gone, and is no longer named."""


def load_machines(connection: Connection, now: float) -> list[TeamMachine]:
    """Return all machines of a team's database, the one that was heard last first."""
    rows = connection.execute(
        "SELECT m.*, (SELECT count(*) FROM machine_accounts s WHERE s.machine = m.machine) AS accounts"
        " FROM machines m ORDER BY m.last_seen_at DESC, m.machine"
    )
    return [
        {
            "machine": row["name"],
            "role": row["owner"],
            "version": row["version"],
            "first_heard_at": row["first_seen_at"],
            "last_heard_at": row["last_seen_at"],
            "silent_seconds": max(0.0, now - row["last_seen_at"]),
            "snapshots": row["snapshots"],
            "turns": row["requests"],
            "not_sent": row["remaining"],
            "left_out": row["left_out"],
            "accounts": row["accounts"],
            "clock_offset_seconds": row["clock_offset"],
        }
        for row in rows
    ]


def load_silent_machines(connection: Connection, now: float, accounts: Sequence[Account] = ()) -> list[SilentMachine]:
    """Return the machines that were not heard for a while, the last heard first: what they saw is not in any answer.

    Args:
        connection: of a team's database; a file has one machine alone, which is never silent to itself.
        now: Unix seconds.
        accounts: only machines that have seen one of these; all where none is given.
    """
    if is_file(connection):
        return []
    marks = ", ".join("?" * len(accounts))
    seen = f" AND machine IN (SELECT machine FROM machine_accounts WHERE account IN ({marks}))" if accounts else ""  # noqa: S608 (marks)
    rows = connection.execute(
        "SELECT name, last_seen_at FROM machines WHERE last_seen_at < ? AND last_seen_at > ?"  # noqa: S608 (marks)
        f"{seen} ORDER BY last_seen_at DESC, machine",
        (now - SILENT_SECONDS, now - GONE_SECONDS, *(account.id for account in accounts)),
    )
    return [
        {"machine": row["name"], "last_heard_at": row["last_seen_at"], "silent_seconds": now - row["last_seen_at"]}
        for row in rows
    ]
