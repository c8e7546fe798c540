"""Roles, deletion and months of a team's database. What each role may do is in `tests/system/test_team_security.py`."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from store.errors import DatabaseError
from store.team import admin
from store.team.admin import RoleError, add_role, give_machines, grant_reading, remove_role
from store.team.schema import SCHEMA_VERSION, install
from tests.support.postgres import PostgresServer
from tests.support.team import TeamMachine, account_number, team_snapshot, team_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = itertools.count(1)
MARCH, MAY = 1_772_800_000.0, 1_778_100_000.0
"""In March and in May 2026."""

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(name="connection")
def _connection(postgres_server: PostgresServer, team_database: str) -> Iterator[Connection]:
    with contextlib.closing(postgres_server.connect(team_database)) as connection:
        yield connection


@pytest.fixture(name="name")
def _name() -> str:
    """Return a name for a role: the roles of a server belong to all of its databases."""
    return f"of-test-{next(_NUMBERS)}"


def groups(connection: Connection, role: str) -> list[str]:
    rows = connection.execute(
        "SELECT g.rolname FROM pg_auth_members m"
        " JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member"
        " WHERE r.rolname = %s ORDER BY 1",
        (role,),
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("kind", "sees_emails", "group"),
    [
        ("machine", True, "codex_tap_machines"),
        ("reader", True, "codex_tap_readers"),
        ("reader", False, "codex_tap_readers_without_emails"),
        ("person", True, "codex_tap_people"),
    ],
)
def test_a_role_is_made_with_a_password_of_its_own(
    connection: Connection, name: str, kind: admin.Kind, group: str, *, sees_emails: bool
) -> None:
    made = add_role(connection, kind, name, sees_emails=sees_emails)
    assert made.role == f"codex_tap_{kind}_{name}"
    assert made.password is not None
    assert len(made.password) >= 32
    assert groups(connection, made.role) == [group]
    (kept,) = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (made.role,)).fetchone() or (
        "",
    )
    assert kept.startswith("SCRAM-SHA-256$")


def test_a_role_is_made_once_and_renewed_on_request(connection: Connection, name: str) -> None:
    with pytest.raises(RoleError, match="there is no machine"):
        add_role(connection, "machine", name, renews=True)
    first = add_role(connection, "machine", name)
    with pytest.raises(RoleError, match="--renew"):
        add_role(connection, "machine", name)
    second = add_role(connection, "machine", name, renews=True)
    assert second.role == first.role
    assert second.password != first.password
    assert add_role(connection, "machine", name, renews=True, has_password=False).password is None
    assert remove_role(connection, "machine", name)
    assert not remove_role(connection, "machine", name)
    assert add_role(connection, "machine", name).role == first.role


@pytest.mark.parametrize("name", ["", "Ann", "a b", "-x", "ä", "x" * 41, "a'b", 'a"b', "a;b"])
def test_a_name_is_plain(connection: Connection, name: str) -> None:
    with pytest.raises(RoleError, match="lower-case"):
        add_role(connection, "machine", name)


def test_a_person_has_machines_that_are_there(connection: Connection, name: str) -> None:
    add_role(connection, "machine", name)
    add_role(connection, "person", name)
    with pytest.raises(RoleError, match="no machine 'none-such'"):
        give_machines(connection, name, [name, "none-such"])
    assert connection.execute("SELECT * FROM codex_tap.people").fetchall() == []
    for _ in range(2):
        give_machines(connection, name, [name])
    assert connection.execute("SELECT * FROM codex_tap.people").fetchall() == [
        (f"codex_tap_person_{name}", f"codex_tap_machine_{name}")
    ]
    remove_role(connection, "person", name)
    assert connection.execute("SELECT * FROM codex_tap.people").fetchall() == []


def test_a_role_of_the_administrators_may_read(connection: Connection, name: str) -> None:
    role = f"grafana-{name}"
    with pytest.raises(RoleError, match="no role"):
        grant_reading(connection, role)
    connection.execute(f'CREATE ROLE "{role}"'.encode())
    grant_reading(connection, role)
    assert groups(connection, role) == ["codex_tap_readers"]


def test_deletion_is_a_change_that_readers_notice(connection: Connection) -> None:
    TeamMachine(connection).ship([team_snapshot(1, time.time())])
    before = connection.execute("SELECT edits FROM codex_tap.installation").fetchone()
    admin.forget_account(connection, account_number())
    assert connection.execute("SELECT count(*) FROM codex_tap.accounts").fetchone() == (0,)
    assert connection.execute("SELECT edits FROM codex_tap.installation").fetchone() != before


def months(connection: Connection) -> list[str]:
    rows = connection.execute(
        "SELECT inhrelid::REGCLASS::TEXT FROM pg_inherits WHERE inhparent = 'codex_tap.requests'::REGCLASS ORDER BY 1"
    )
    return [row[0].removeprefix("codex_tap.requests_") for row in rows]


def test_months_are_shown_and_dropped_and_the_next_ones_are_made(connection: Connection) -> None:
    TeamMachine(connection).ship(requests=[team_turn(1, MARCH), team_turn(2, MAY)])
    old = admin.old_months(connection, MAY)
    assert [month.name for month in old] == ["2026-03", "2026-04"]
    assert all(month.size > 0 for month in old)
    assert admin.drop_months(connection, MAY) == 1_777_593_600
    now = time.gmtime()
    assert months(connection)[0] == "2026_05"
    assert f"{now.tm_year}_{now.tm_mon:02}" in months(connection)
    assert len(months(connection)) >= 5
    assert connection.execute("SELECT row_id FROM codex_tap.requests").fetchall() == [(2,)]
    assert admin.old_months(connection, MAY) == []


def test_months_in_use_are_not_waited_for_without_end(
    postgres_server: PostgresServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "_LOCK_SECONDS", 1)
    TeamMachine(connection).ship(requests=[team_turn(1, MARCH)])
    reader = postgres_server.connect(connection.info.dbname)
    with contextlib.closing(reader), reader.transaction():
        reader.execute("SELECT * FROM codex_tap.requests")
        with pytest.raises(DatabaseError, match="try again later"):
            admin.drop_months(connection, MAY)
    assert months(connection) == ["2026_03"]
    admin.drop_months(connection, MAY)
    assert "2026_03" not in months(connection)


def test_machines_ship_while_months_are_dropped(postgres_server: PostgresServer, connection: Connection) -> None:
    other = postgres_server.connect(connection.info.dbname)
    failures: list[BaseException] = []

    def ship() -> None:
        machine = TeamMachine(other)
        try:
            for row in range(1, 40):
                assert machine.ship([team_snapshot(row, MAY + row)], [team_turn(row, MAY + row)]) == "taken"
        except BaseException as error:  # noqa: BLE001 (raised below)
            failures.append(error)

    TeamMachine(connection).ship(requests=[team_turn(1, MARCH)])
    with contextlib.closing(other):
        thread = threading.Thread(target=ship)
        thread.start()
        admin.drop_months(connection, MAY)
        thread.join(60)
    assert failures == []
    assert connection.execute("SELECT count(*) FROM codex_tap.requests").fetchone() == (39,)


def test_an_administrator_needs_not_be_a_superuser() -> None:
    """A database of their own and the right to create roles suffice, as a hosted server gives them."""
    with PostgresServer() as server:
        server.execute("CREATE ROLE administrator LOGIN CREATEROLE")
        server.execute("CREATE DATABASE team OWNER administrator")
        with contextlib.closing(server.connect("team", "administrator")) as connection:
            install(connection)
            made = add_role(connection, "machine", "laptop")
            add_role(connection, "person", "ann")
            give_machines(connection, "ann", ["laptop"])
            add_role(connection, "reader", "clerk", sees_emails=False)
            with contextlib.closing(server.connect("team", made.role)) as machine:
                assert TeamMachine(machine).ship([team_snapshot(1, MARCH)], [team_turn(1, MAY)]) == "taken"
            assert install(connection) == SCHEMA_VERSION
            admin.drop_months(connection, MAY)
            admin.forget_account(connection, account_number())
            assert remove_role(connection, "person", "ann")
