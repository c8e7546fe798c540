"""Addresses of a team's database: no password in an argument, a checked host beyond this machine, no secret shown."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import certifi
import pytest

from store.errors import DatabaseError, SettingError
from store.settings import is_team_address
from store.team.address import connect, explained, read_address

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

_SECRET = "hunter2-of-nobody"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://host/db", True),
        ("postgres://host/db", True),
        ("POSTGRESQL:///db", True),
        ("codex-tap.sqlite3", False),
        ("/data/postgresql://", False),
    ],
)
def test_a_team_address_is_told_from_a_file(text: str, *, expected: bool) -> None:
    assert is_team_address(text) is expected


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ann:{_SECRET}@db.example/team",
        f"postgresql://ann@db.example/team?password={_SECRET}",
        f"postgresql://ann@db.example/team?sslpassword={_SECRET}",
    ],
    ids=["user-part", "parameter", "of-a-key"],
)
def test_a_password_is_refused_in_an_argument_alone(address: str) -> None:
    with pytest.raises(SettingError, match="pgpass") as refused:
        read_address(address, is_argument=True, environment={})
    assert _SECRET not in str(refused.value)
    read = read_address(address, is_argument=False, environment={})
    assert _SECRET in read.parameters.values()
    assert _SECRET not in read.shown
    assert _SECRET not in repr(read)


def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(SettingError, match="postgresql://USER@HOST") as refused:
        read_address(f"postgresql://ann:{_SECRET}@[db/team", is_argument=False, environment={})
    assert _SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("address", "environment", "is_checked"),
    [
        ("postgresql://db.example/team", {}, True),
        ("postgresql://192.0.2.7/team", {}, True),
        ("postgresql://db.example/team?sslmode=verify-full", {}, True),
        ("postgresql:///team", {"PGHOST": "db.example"}, True),
        ("postgresql://localhost/team?hostaddr=192.0.2.7", {}, True),
        ("postgresql://localhost,db.example/team", {}, True),
        ("postgresql:///team", {}, False),
        ("postgresql:///team?host=/run/postgresql", {}, False),
        ("postgresql://localhost/team", {}, False),
        ("postgresql://127.0.0.1:5433/team", {}, False),
        ("postgresql://[::1]/team", {}, False),
        ("postgresql://localhost/team?sslmode=disable", {}, False),
    ],
)
def test_the_host_is_checked_beyond_this_machine(
    address: str, environment: dict[str, str], *, is_checked: bool
) -> None:
    read = read_address(address, is_argument=True, environment=environment)
    assert (read.parameters.get("sslmode") == "verify-full") is is_checked
    assert (read.parameters.get("sslrootcert") == certifi.where()) is is_checked


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
@pytest.mark.parametrize("place", ["address", "environment"])
def test_a_weaker_mode_is_refused_beyond_this_machine(mode: str, place: str) -> None:
    address = f"postgresql://db.example/team?sslmode={mode}" if place == "address" else "postgresql://db.example/team"
    with pytest.raises(SettingError, match=f"sslmode={mode} does not check"):
        read_address(address, is_argument=True, environment={"PGSSLMODE": mode} if place == "environment" else {})


def test_an_authority_of_ones_own_is_used(path: Path) -> None:
    named = read_address("postgresql://db.example/team?sslrootcert=own.crt", is_argument=True, environment={})
    assert named.parameters["sslrootcert"] == "own.crt"
    default = path.parent / ".postgresql" / "root.crt"
    default.parent.mkdir()
    default.touch()
    assert (
        "sslrootcert" not in read_address("postgresql://db.example/team", is_argument=True, environment={}).parameters
    )


def test_a_service_is_checked_like_an_address(tmp_path: Path) -> None:
    file = tmp_path / "services"
    environment = {"PGSERVICEFILE": str(file)}
    file.write_text(
        f"# ours\n[team]\nhost=db.example\ndbname=team\nuser=ann\npassword={_SECRET}\n[open]\nhost=db.example\n"
        "sslmode=require\n",
        encoding="utf-8",
    )
    read = read_address("postgresql://?service=team", is_argument=True, environment=environment)
    assert read.parameters["sslmode"] == "verify-full"
    assert read.parameters["dbname"] == "team"
    assert read.shown == "postgresql://?service=team"
    with pytest.raises(SettingError, match="does not check"):
        read_address("postgresql://?service=open", is_argument=True, environment=environment)
    with pytest.raises(SettingError, match="no service 'none'"):
        read_address("postgresql:///x", is_argument=True, environment={**environment, "PGSERVICE": "none"})
    file.write_text(f"password={_SECRET}\n", encoding="utf-8")
    with pytest.raises(SettingError, match="cannot be read") as refused:
        read_address("postgresql://?service=team", is_argument=True, environment=environment)
    assert _SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgresql://ann:{_SECRET}@db.example:6543/team", "postgresql://ann@db.example:6543/team"),
        ("postgresql://db.example", "postgresql://db.example/"),
        ("postgresql:///team?host=/run/pg", "postgresql:///team?host=/run/pg"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert read_address(address, is_argument=False, environment={}).shown == shown


def test_a_failure_names_the_address_and_the_reason(postgres_server: PostgresServer) -> None:
    address = read_address(postgres_server.url("nowhere"), is_argument=True)
    with pytest.raises(DatabaseError, match='database "nowhere" does not exist') as refused:
        connect(address)
    assert str(refused.value).startswith(address.shown)
    there = read_address(postgres_server.url("postgres"), is_argument=True)
    with (
        contextlib.closing(connect(there)) as connection,
        pytest.raises(DatabaseError, match="does not exist"),
        explained(there),
    ):
        connection.execute("SELECT nothing")


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseError, match=r"codex-tap\[team\]"):
        read_address("postgresql:///team", is_argument=True)
