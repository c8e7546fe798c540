"""``codex-tap team``, as its administrator runs it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from scripts.cli import cli
from scripts.support.errors import FAILED, NOTHING_KNOWN, WRONG_USE
from tests.support.team import TeamMachine, team_account, team_snapshot, team_turn

if TYPE_CHECKING:
    from click.testing import Result

    from store.documents import TeamMachinesDocument, TeamPruneDocument, TeamRoleDocument
    from tests.support.postgres import PostgresServer

_NUMBERS = itertools.count(1)
MARCH = 1_772_800_000.0


@pytest.fixture(name="url")
def _url(postgres_server: PostgresServer, team_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a team's database, which the environment names as well."""
    url = postgres_server.url(team_database)
    monkeypatch.setenv("CODEX_TAP_DB", url)
    return url


@pytest.fixture(name="name")
def _name() -> str:
    """Return a name for a role: the roles of a server belong to all of its databases."""
    return f"of-command-{next(_NUMBERS)}"


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["team", *arguments], **options)


def done(*arguments: str, **options: Any) -> str:
    result = run(*arguments, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def database_of(url: str) -> str:
    return url.split("/")[3].partition("?")[0]


def ship(server: PostgresServer, url: str, **told: Any) -> None:
    with contextlib.closing(server.connect(database_of(url))) as connection:
        TeamMachine(connection).ship([team_snapshot(1, MARCH)], [team_turn(1, time.time())], **told)


def test_init_twice_changes_nothing_and_a_role_may_read(postgres_server: PostgresServer, name: str) -> None:
    url = postgres_server.url(postgres_server.create_database())
    first = done("init", url)
    assert "is a team's database now (schema 1)" in first
    assert "add-machine" in first
    postgres_server.execute(f'CREATE ROLE "{name}" LOGIN'.encode())
    assert "is up to date" in done("init", url, "--reader-role", name)
    with contextlib.closing(postgres_server.connect(database_of(url), name)) as connection:
        assert connection.execute("SELECT * FROM codex_tap.accounts").fetchall() == []
    assert run("init", url, "--reader-role", "none-such").exit_code == WRONG_USE


def test_the_lines_for_a_machine_let_it_ship(url: str, postgres_server: PostgresServer, name: str) -> None:
    printed = done("add-machine", name)
    role = f"codex_tap_machine_{name}"
    database = database_of(url)
    assert f"\n{name}  never " in re.sub("  +", "  ", done("machines"))
    assert name in json.loads(done("machines", "--json"))["never_heard"]
    (line,) = [each.strip() for each in printed.splitlines() if ":5432:" in each]
    assert line.startswith(f"{postgres_server.folder}:5432:{database}:{role}:")
    (named,) = [each.strip() for each in printed.splitlines() if "export CODEX_TAP_SHIP" in each]
    shipped_to = named.split("'")[1]
    assert shipped_to.startswith(f"postgresql://{role}@/{database}?host=")
    with contextlib.closing(postgres_server.connect(database, role)) as connection:
        assert TeamMachine(connection).ship([team_snapshot(1, time.time())]) == "taken"
    assert f"{name}  0 s ago" in done("machines").replace("1 s", "0 s")
    assert name not in json.loads(done("machines", "--json"))["never_heard"]


def test_a_role_as_json(url: str, name: str) -> None:
    made: TeamRoleDocument = json.loads(done("add-machine", name, "--json"))
    assert made["password"]
    assert made["pgpass"]
    assert made["pgpass"].endswith(f":{made['role']}:{made['password']}")
    assert made["password"] not in made["address"]
    bare: TeamRoleDocument = json.loads(done("add-machine", name, "--renew", "--no-password", "--json"))
    assert (bare["role"], bare["password"], bare["pgpass"]) == (made["role"], None, None)
    assert "certificate" in done("add-machine", name, "--renew", "--no-password", "--db", url)


def test_people_and_readers_get_the_address_that_they_read(url: str, name: str) -> None:
    assert url.startswith("postgresql://")
    done("add-machine", name)
    for printed, role in (
        (done("add-person", name, "--machine", name), f"codex_tap_person_{name}"),
        (done("add-reader", name, "--without-emails"), f"codex_tap_reader_{name}"),
    ):
        assert f"export CODEX_TAP_DB='postgresql://{role}@" in printed


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("add-machine", "Ann"), "lower-case"),
        (("add-machine", "none-such", "--renew"), "no machine 'none-such'"),
        (("add-person", "ann"), "--machine"),
        (("add-person", "ann-of-none", "--machine", "none-such"), "no machine 'none-such'"),
        (("remove-machine", "none-such", "--yes"), "no machine 'none-such'"),
        (("forget", "nobody@", "--yes"), "no account matches"),
        (("prune", "--keep", "a while"), "12months, 400d"),
        (("prune", "--keep", "99999months"), "longer than"),
        (("machines", "--db", "file.sqlite3"), "name the team's database"),
        (("machines", "--db", "postgresql://a:secret@h/d"), "holds a password"),
        (("init", "postgresql://h/d?sslmode=require"), "does not check"),
    ],
)
def test_wrong_use_says_what_to_do(arguments: tuple[str, ...], expected: str) -> None:
    result = run(*arguments)
    assert result.exit_code == WRONG_USE
    assert expected in result.output
    assert "secret" not in result.output


def test_a_person_is_not_made_without_their_machines(url: str, postgres_server: PostgresServer, name: str) -> None:
    assert url
    assert run("add-person", name, "--machine", "none-such").exit_code == WRONG_USE
    assert postgres_server.execute(f"SELECT 1 FROM pg_roles WHERE rolname = 'codex_tap_person_{name}'".encode()) == []  # noqa: S608


def test_without_a_database_of_a_team_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "/data/codex-tap.sqlite3"):
        monkeypatch.setenv("CODEX_TAP_DB", value)
        result = run("machines")
        assert result.exit_code == WRONG_USE
        assert "CODEX_TAP_DB" in result.output


def test_a_database_without_the_schema_is_no_team_s(postgres_server: PostgresServer) -> None:
    url = postgres_server.url(postgres_server.create_database())
    for arguments in (("machines",), ("prune", "--keep", "1m"), ("add-person", "x", "--machine", "y")):
        result = run(*arguments, "--db", url)
        assert result.exit_code in {FAILED, WRONG_USE}
        assert result.exception is None or isinstance(result.exception, SystemExit)


def test_machines_with_none_and_with_one(url: str, postgres_server: PostgresServer) -> None:
    for (role,) in postgres_server.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^codex_tap_machine_'"):
        postgres_server.execute(f'DROP ROLE "{role}"'.encode())  # of other tests
    empty = run("machines")
    assert empty.exit_code == NOTHING_KNOWN
    assert "add-machine" in empty.output
    assert json.loads(run("machines", "--json").stdout)["machines"] == []
    ship(postgres_server, url, name="ann's laptop", remaining=12_000, offset=-90, version="2.0")
    heads, row = done("machines").splitlines()
    assert " ".join(heads.split()) == "MACHINE LAST HEARD SNAPSHOTS TURNS ACCOUNTS NOT SENT CLOCK VERSION"
    assert row.startswith("ann's laptop  ")
    assert " ".join(row.split()).endswith(" ago 1 1 1 12,000 1 min ahead 2.0")
    document: TeamMachinesDocument = json.loads(done("machines", "--json"))
    assert document["machines"][0]["not_sent"] == 12_000


def test_an_account_is_deleted_after_a_question(url: str, postgres_server: PostgresServer) -> None:
    ship(postgres_server, url, accounts=[team_account(time.time(), email="ann@example.com")])
    assert run("forget", "ann@", input="n\n").exit_code == 1
    assert "Deleted: ann@example.com" in done("forget", "ann@", input="y\n")
    assert run("forget", "ann@", "--yes").exit_code == WRONG_USE


def test_a_machine_is_removed_after_a_question(url: str, name: str) -> None:
    assert url
    done("add-machine", name)
    assert run("remove-machine", name, input="n\n").exit_code == 1
    assert "Deleted the role" in done("remove-machine", name, input="y\n")


def test_months_are_dropped_with_yes_alone(url: str, postgres_server: PostgresServer) -> None:
    ship(postgres_server, url)
    shown = done("prune", "--keep", "1m")
    assert "2026-03" in shown
    assert "Nothing was dropped" in shown
    document: TeamPruneDocument = json.loads(done("prune", "--keep", "30d", "--yes", "--json"))
    assert document["deleted"]
    assert document["months"][0]["month"] == "2026-03"
    assert document["freed_bytes"] == sum(each["bytes"] for each in document["months"])
    assert "No month is older" in done("prune", "--keep", "1m", "--yes")
