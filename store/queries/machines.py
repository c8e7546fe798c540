"""The machines of a team's database: when each was last heard, and which were not for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from store.connection import is_file
from store.queries.cursors import is_among, read_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection
    from store.documents import Document, SilentMachine, TeamMachine
    from store.queries.accounts import Account

Told = TypeVar("Told", bound="Document")

SILENT_SECONDS = 15 * 60
"""A machine that was not heard for this long is silent; a running one is heard every minute or so."""

_ROLE_PREFIX = "codex_tap_machine_"
"""What the role of a machine begins with; `store.team.admin.role_name` makes it."""

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


def load_never_heard(connection: Connection) -> list[str]:
    """Return the names of the machines that were added to a team's database and have not shipped yet."""
    rows = connection.execute(
        "SELECT substr(CAST(r.rolname AS TEXT), length(:prefix) + 1) AS name FROM pg_roles r"
        " WHERE left(CAST(r.rolname AS TEXT), length(:prefix)) = :prefix"
        " AND NOT EXISTS (SELECT 1 FROM machines m WHERE m.owner = CAST(r.rolname AS TEXT)) ORDER BY r.rolname",
        {"prefix": _ROLE_PREFIX},
    )
    return [row["name"] for row in rows]


def with_silent_machines(document: Told, connection: Connection, now: float, accounts: Sequence[Account]) -> Told:
    """Return a document of accounts, from a team's database with the machines that were not heard for a while.

    What they have seen since is in no answer yet: some of what seems to be used elsewhere may be theirs.
    """
    if not is_file(connection):
        document["machines_silent"] = load_silent_machines(connection, now, accounts)
    return document


def load_silent_machines(connection: Connection, now: float, accounts: Sequence[Account]) -> list[SilentMachine]:
    """Return the machines of a team's database that were not heard for a while, the last heard first.

    They are those that have seen one of the accounts (all machines where there are very many accounts).
    """
    seen, ids = is_among("s.account", [account.id for account in accounts])
    with read_transaction(connection):
        rows = connection.execute(
            "SELECT name, last_seen_at FROM machines WHERE last_seen_at < ? AND last_seen_at > ? AND machine IN"  # noqa: S608 (marks)
            f" (SELECT s.machine FROM machine_accounts s WHERE {seen}) ORDER BY last_seen_at DESC, machine",
            (now - SILENT_SECONDS, now - GONE_SECONDS, *ids),
        ).fetchall()
    return [
        {"machine": row["name"], "last_heard_at": row["last_seen_at"], "silent_seconds": now - row["last_seen_at"]}
        for row in rows
    ]
