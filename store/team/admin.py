"""What the administrator of a team's database does: roles for machines and people, deletion, months.

The rights of each kind of role are in ``sql/roles.sql``. Every function takes a connection of the administrator's.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from store.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

Kind = Literal["machine", "reader", "person"]

_GROUPS: dict[Kind, str] = {
    "machine": "codex_tap_machines",
    "reader": "codex_tap_readers",
    "person": "codex_tap_people",
}
_WITHOUT_EMAILS = "codex_tap_readers_without_emails"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
_PASSWORD_BYTES = 24
_CONNECTIONS = 8
_MONTHS_AHEAD = 3
_LOCK_SECONDS = 10


class Credentials(NamedTuple):
    """A role that may log in; ``password`` is None where another way of logging in was chosen."""

    role: str
    password: str | None


class Month(NamedTuple):
    """A month of rows, ``2026-11``, and the bytes that it takes."""

    name: str
    size: int


class RoleError(Exception):
    """A role cannot be made as it was asked for; the message says why and what to do."""


def role_name(kind: Kind, name: str) -> str:
    """Return the role of a machine or of a person.

    Raises:
        RoleError: The name has other characters than lower-case letters, digits, dots, hyphens and underscores.
    """
    if not _NAME.fullmatch(name):
        raise RoleError(
            f"{name!r} cannot be a name here: use up to 40 lower-case letters, digits, dots, hyphens and underscores"
        )
    return f"codex_tap_{kind}_{name}"


def add_role(
    connection: psycopg.Connection[Any],
    kind: Kind,
    name: str,
    *,
    has_password: bool = True,
    renews: bool = False,
    sees_emails: bool = True,
) -> Credentials:
    """Create the role of a machine, a reader or a person, with a random password.

    Args:
        connection: the administrator's.
        kind: what it may do.
        name: of the machine or of the person.
        has_password: whether it logs in by a password; else by what the server's ``pg_hba.conf`` says.
        renews: gives a role that is there a new password.
        sees_emails: whether a reader sees e-mails.

    Raises:
        RoleError: It is there already, or is not and was to be renewed, or the name cannot be used.
        psycopg.Error: The administrator may not create roles.
    """
    from psycopg import sql

    role = role_name(kind, name)
    is_there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    if is_there and not renews:
        raise RoleError(f"the {kind} {name!r} is there already; --renew gives it a new password")
    if renews and not is_there:
        raise RoleError(f"there is no {kind} {name!r} to be renewed")
    password = secrets.token_urlsafe(_PASSWORD_BYTES) if has_password else None
    values = {
        "role": sql.Identifier(role),
        "group": sql.Identifier(_GROUPS[kind] if sees_emails else _WITHOUT_EMAILS),
        "password": sql.Literal(_verifier(connection, role, password)),
    }
    statement = "ALTER ROLE {role}" if is_there else "CREATE ROLE {role}"
    with connection.transaction():
        options = f" LOGIN PASSWORD {{password}} CONNECTION LIMIT {_CONNECTIONS}"
        connection.execute(sql.SQL(statement + options).format(**values))
        connection.execute(sql.SQL("GRANT {group} TO {role}").format(**values))
    return Credentials(role, password)


def remove_role(connection: psycopg.Connection[Any], kind: Kind, name: str) -> bool:
    """Delete a role, so that it can log in no more; what it shipped stays. Return False if there is none."""
    from psycopg import sql

    role = role_name(kind, name)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
        return False
    with connection.transaction():
        connection.execute("DELETE FROM codex_tap.people WHERE person = %s", (role,))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    return True


def give_machines(connection: psycopg.Connection[Any], person: str, machines: Sequence[str]) -> None:
    """Say whose machines these are, by the names that they were added with: the person then sees their accounts.

    Raises:
        RoleError: One of them was never added.
    """
    role = role_name("person", person)
    with connection.transaction():
        for name in machines:
            owner = role_name("machine", name)
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,)).fetchone():
                raise RoleError(f"there is no machine {name!r}; add it with codex-tap team add-machine")
            connection.execute(
                "INSERT INTO codex_tap.people (person, owner) VALUES (%s, %s) ON CONFLICT DO NOTHING", (role, owner)
            )


def grant_reading(connection: psycopg.Connection[Any], role: str) -> None:
    """Let a role that is there read all of it.

    Raises:
        RoleError: There is no such role.
    """
    from psycopg import sql

    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
        raise RoleError(f"there is no role {role!r}")
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(_GROUPS["reader"]), sql.Identifier(role)))


def forget_account(connection: psycopg.Connection[Any], account: int) -> None:
    """Delete an account; what was seen of it up to now does not come back from any machine."""
    connection.execute("SELECT codex_tap.forget_everywhere(%s)", (account,))


def old_months(connection: psycopg.Connection[Any], before: float) -> list[Month]:
    """Return the months that ended before a moment (Unix seconds), the oldest first."""
    rows = connection.execute(
        "SELECT replace(right(c.relname, 7), '_', '-') AS month, sum(pg_total_relation_size(c.oid))::BIGINT"
        " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent IN ('codex_tap.snapshots'::REGCLASS, 'codex_tap.requests'::REGCLASS)"
        " AND right(c.relname, 7) < to_char(to_timestamp(%s) AT TIME ZONE 'UTC', 'YYYY_MM') GROUP BY 1 ORDER BY 1",
        (before,),
    )
    return [Month(*row) for row in rows]


def drop_months(connection: psycopg.Connection[Any], before: float) -> float:
    """Drop the months that ended before a moment, and make those that come next; return the first moment that is kept.

    Raises:
        DatabaseError: Others read or write these months for longer than this waits.
        psycopg.Error: It is not the administrator's connection.
    """
    import psycopg

    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
            (since,) = connection.execute("SELECT codex_tap.drop_months(%s)", (before,)).fetchone() or (before,)
            add_months_ahead(connection)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise DatabaseError("others are using these months now: try again later; nothing was dropped") from None
    return float(since)


def add_months_ahead(connection: psycopg.Connection[Any]) -> None:
    """Make the months that come next, so that the first batch of each finds it there."""
    connection.execute("SELECT codex_tap.add_months_ahead(%s)", (_MONTHS_AHEAD,))


def _verifier(connection: psycopg.Connection[Any], role: str, password: str | None) -> str | None:
    """Return what the server keeps of a password: the password itself reaches neither the server nor its log."""
    if password is None:
        return None
    return connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
