"""What SECURITY.md promises of a team's database, on a real server that asks for TLS and a password."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from click.testing import CliRunner

from scripts.cli import cli
from scripts.demo.certificates import Authority
from store.errors import DatabaseError
from store.queries.accounts import load_accounts
from store.team.address import connect, read_address
from store.team.connection import open_team_reader
from tests.support.harness import free_port
from tests.support.postgres import ADMIN, PostgresServer
from tests.support.team import TeamMachine, account_number, team_account, team_snapshot, team_turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = time.time() - 3_600
SEEN = {"first_seen_at": NOW, "last_seen_at": NOW}
TABLES = (
    "installation", "machines", "batches", "people", "machine_accounts", "forgotten", "accounts", "tokens", "snapshots",
    "limits", "losses", "requests", "threads", "sightings", "limit_names", "merged_accounts", "imported_limits",
)  # fmt: skip
FUNCTIONS = (
    "forget_everywhere(1)", "drop_months(1)", "add_months(1, 2)", "add_months_ahead(1)", "delete_account(1)",
    "point_again(1)", "own_accounts()", "mark_late(1, 'codex', 1, 2)",
)  # fmt: skip

_HBA = b"""
local all postgres trust
hostssl all codex_tap_machine_cert 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
"""


class Team(NamedTuple):
    """A team's database with two machines that have shipped, and the passwords of its roles."""

    server: PostgresServer
    database: str
    authority: Authority
    passwords: dict[str, str]

    def url(self, role: str, host: str = "localhost", mode: str = "verify-full", options: str = "") -> str:
        """Return the URL of a role over TCP, without its password."""
        authority = f"&sslrootcert={self.authority.ca_file}" if mode == "verify-full" else ""
        return (
            f"postgresql://{role}@{host}:{self.server.port}/{self.database}?hostaddr=127.0.0.1&sslmode={mode}"
            f"{authority}{options}"
        )

    def connect(self, role: str, **where: str) -> psycopg.Connection[Any]:
        """Connect as a role by its password."""
        password = self.passwords.get(role)
        return connect(read_address(self.url(role, **where), is_argument=True), password=password)


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["team", *arguments])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module", name="team")
def _team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Set the whole of it up by commands, and let two machines ship over TLS with their passwords."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    settings = {
        "listen_addresses": "127.0.0.1", "port": str(free_port()), "ssl": "on", "ssl_cert_file": "server.pem",
        "ssl_key_file": "server.pem", "ssl_ca_file": "ca.pem", "log_statement": "all",
    }  # fmt: skip
    files = {
        "server.pem": authority.certificate_file("localhost").read_bytes(),
        "ca.pem": authority.ca_file.read_bytes(),
        "pg_hba.conf": _HBA,
    }
    with PostgresServer(settings, files) as server:
        database = server.create_database()
        url = server.url(database)
        run("init", url)
        added = [
            run(*arguments, "--json", "--db", url)
            for arguments in (
                ("add-machine", "ann"),
                ("add-machine", "ben"),
                ("add-machine", "cert", "--no-password"),
                ("add-reader", "lead"),
                ("add-reader", "clerk", "--without-emails"),
                ("add-person", "ann", "--machine", "ann"),
            )
        ]
        made = {document["role"]: document["password"] for document in (json.loads(each.stdout) for each in added)}
        team = Team(server, database, authority, made)
        for name, user in (("ann", "user-1"), ("ben", "user-2")):
            with contextlib.closing(team.connect(f"codex_tap_machine_{name}")) as connection:
                ship_as(TeamMachine(connection), user)
        yield team


def ship_as(machine: TeamMachine, user: str) -> None:
    account = account_number(user_id=user)
    answer = machine.ship(
        [team_snapshot(1, NOW, account=account)],
        [team_turn(1, NOW, account=account, thread="t")],
        accounts=[team_account(NOW, user, email=f"{user}@example.com", facts=1)],
        tokens=[{"account": account, "token_key": "k", **SEEN}],
        threads=[{"account": account, "thread": "t", **SEEN}],
        losses=[{"row_id": 1, "at": NOW, "count": 1, "reason": "full"}],
        sightings=[{"kind": "host", "name": "h", "count": 1, **SEEN}],
        imported_limits=[{"account": account, "limit_id": "codex", "thread": "t", **SEEN}],
    )
    assert answer == "taken"


def refused(team: Team, role: str, statement: str) -> str:
    """Return the state of the error that a statement of a role ends in."""
    with contextlib.closing(team.connect(role)) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    return str(caught.value.sqlstate)


NOT_ALLOWED = "42501"


# Machines


@pytest.mark.parametrize("table", TABLES)
def test_a_machine_reads_and_writes_no_table(team: Team, table: str) -> None:
    """Not even its own rows."""
    for statement in (
        f"SELECT * FROM codex_tap.{table}",  # noqa: S608 (constants)
        f"INSERT INTO codex_tap.{table} DEFAULT VALUES",
        f"DELETE FROM codex_tap.{table}",  # noqa: S608 (constants)
    ):
        assert refused(team, "codex_tap_machine_ben", statement) == NOT_ALLOWED


def test_a_machine_reads_no_month_and_no_view(team: Team) -> None:
    (months,) = (team.server.execute(
        "SELECT array_agg(inhrelid::REGCLASS::TEXT) FROM pg_inherits WHERE inhrelid::REGCLASS::TEXT LIKE '%\\_20%'",
        team.database,
    )[0])  # fmt: skip
    tables = [month for month in months if "pkey" not in month and "idx" not in month]
    assert tables
    for table in (*tables, "codex_tap_without_emails.accounts"):
        for role in ("codex_tap_machine_ben", "codex_tap_person_ann"):
            assert refused(team, role, f"SELECT * FROM {table}") == NOT_ALLOWED  # noqa: S608 (constants)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_machine_calls_no_other_function(team: Team, function: str) -> None:
    assert refused(team, "codex_tap_machine_ben", f"SELECT codex_tap.{function}") == NOT_ALLOWED


def test_a_machine_ships_no_file_of_another(team: Team) -> None:
    ((file,),) = team.server.execute(
        "SELECT file_id::TEXT FROM codex_tap.machines WHERE owner = 'codex_tap_machine_ann'", team.database
    )
    with contextlib.closing(team.connect("codex_tap_machine_ben")) as connection:
        other = TeamMachine(connection, file)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.ship([team_snapshot(2, NOW)])
        # Where that file is it does not learn either, and a copy of it is no way to its rows.
        assert connection.execute("SELECT nonce, nonces FROM codex_tap.where_1(%s)", (file,)).fetchall() == [(None, [])]
        copy = TeamMachine(connection)
        copy.ship(requests=[team_turn(1, NOW, account=account_number(user_id="user-2"))], parent=file,
                  accounts=[team_account(NOW, "user-2")])  # fmt: skip
    roots = team.server.execute("SELECT count(*) FROM codex_tap.machines WHERE root <> file_id", team.database)
    assert roots == [(0,)]


def test_a_machine_tells_nothing_of_an_account_whose_ids_it_does_not_know(team: Team) -> None:
    before = team.server.execute("SELECT * FROM codex_tap.accounts ORDER BY id", team.database)
    with contextlib.closing(team.connect("codex_tap_machine_ben")) as connection:
        hostile = TeamMachine(connection)
        stolen = {**team_account(NOW, "user-2", email="mine@example.com"), "id": account_number()}
        for head in (
            {"accounts": [stolen]},
            {"renamed": [{"id": account_number(), "name": "mine"}]},
            {"threads": [{"account": account_number(), "thread": "t", "name": "mine", "named": True, **SEEN}]},
            {"edits": [{"kind": "forgotten", "account": account_number(), "snapshots_upto": 99, "requests_upto": 99}]},
        ):
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                hostile.ship(**head)
    assert team.server.execute("SELECT * FROM codex_tap.accounts ORDER BY id", team.database) == before
    assert team.server.execute("SELECT DISTINCT name FROM codex_tap.threads", team.database) == [(None,)]
    assert team.server.execute("SELECT count(*) >= 2 FROM codex_tap.snapshots", team.database) == [(True,)]


def test_a_removed_machine_gets_in_no_more(team: Team) -> None:
    added = run("add-machine", "gone", "--json", "--db", team.server.url(team.database))
    password = json.loads(added.stdout)["password"]
    address = read_address(team.url("codex_tap_machine_gone"), is_argument=True)
    connect(address, password=password).close()
    run("remove-machine", "gone", "--yes", "--db", team.server.url(team.database))
    with pytest.raises(DatabaseError, match="authentication failed"):
        connect(address, password=password)


# Readers


def test_a_reader_reads_all_and_writes_nothing(team: Team) -> None:
    with contextlib.closing(team.connect("codex_tap_reader_lead")) as connection:
        rows = connection.execute("SELECT email FROM codex_tap.accounts ORDER BY 1").fetchall()
    assert rows == [("user-1@example.com",), ("user-2@example.com",)]
    for statement in (
        "DELETE FROM codex_tap.limits",
        "UPDATE codex_tap.accounts SET name = 'x'",
        "INSERT INTO codex_tap.people VALUES ('a', 'b')",
        "SELECT codex_tap.ship_1('{}', '[]', '[]')",
        "SELECT * FROM codex_tap.where_1(gen_random_uuid())",
        "SELECT * FROM codex_tap.people",
        "SELECT * FROM codex_tap.forgotten",
        *(f"SELECT codex_tap.{function}" for function in FUNCTIONS),
    ):
        assert refused(team, "codex_tap_reader_lead", statement) == NOT_ALLOWED, statement


def accounts_of(team: Team, role: str) -> list[tuple[str, str | None]]:
    """Return what codex-tap itself shows a role of the accounts."""
    address = read_address(team.url(role), is_argument=True)
    secret = {**address.parameters, "password": team.passwords[role]}
    with contextlib.closing(open_team_reader(address._replace(parameters=secret))) as connection:
        return [(account.key, account.email) for account in load_accounts(connection)]


def test_e_mails_are_closed_to_a_reader_without_them(team: Team) -> None:
    """The column itself is; a view in its place lets the same questions be asked."""
    assert refused(team, "codex_tap_reader_clerk", "SELECT email FROM codex_tap.accounts") == NOT_ALLOWED
    assert refused(team, "codex_tap_reader_clerk", "SELECT * FROM codex_tap.accounts") == NOT_ALLOWED
    assert sorted(accounts_of(team, "codex_tap_reader_clerk")) == [("acct-1/user-1", None), ("acct-1/user-2", None)]
    assert ("acct-1/user-1", "user-1@example.com") in accounts_of(team, "codex_tap_reader_lead")


def test_every_column_but_the_e_mail_is_in_that_view(team: Team) -> None:
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'accounts' AND table_schema = "
    there, here = (
        team.server.execute(f"{columns}'{schema}' ORDER BY 1", team.database)
        for schema in ("codex_tap", "codex_tap_without_emails")
    )
    assert here == there


def test_a_person_sees_the_accounts_of_their_machines_alone(team: Team) -> None:
    role = "codex_tap_person_ann"
    assert accounts_of(team, role) == [("acct-1/user-1", "user-1@example.com")]
    own = account_number()
    with contextlib.closing(team.connect(role)) as connection:
        for table in ("tokens", "snapshots", "limits", "requests", "threads", "imported_limits", "machine_accounts"):
            rows = connection.execute(f"SELECT DISTINCT account FROM codex_tap.{table}").fetchall()  # noqa: S608
            assert rows == [(own,)], table
        for table in ("machines", "batches", "losses", "sightings"):
            rows = connection.execute(f"SELECT DISTINCT machine FROM codex_tap.{table}").fetchall()  # noqa: S608
            assert rows == [(1,)], table
        assert connection.execute("SELECT * FROM codex_tap.merged_accounts").fetchall() == []
    for statement in ("DELETE FROM codex_tap.limits", "SELECT * FROM codex_tap.people"):
        assert refused(team, role, statement) == NOT_ALLOWED


# The connection


def test_a_connection_without_tls_is_refused(team: Team) -> None:
    """By the server's pg_hba.conf; beyond this machine codex-tap does not even try."""
    with pytest.raises(DatabaseError, match="no encryption"):
        team.connect("codex_tap_machine_ann", mode="disable")


@pytest.mark.parametrize(
    ("host", "options"),
    [("wrong.example", ""), ("127.0.0.1", "")],
    ids=["another-name", "an-address-for-the-name"],
)
def test_a_server_of_another_name_is_refused(team: Team, host: str, options: str) -> None:
    with pytest.raises(DatabaseError, match="does not match host name"):
        team.connect("codex_tap_machine_ann", host=host, options=options)


def test_a_server_of_another_authority_is_refused(team: Team, tmp_path: Path) -> None:
    other = team._replace(authority=Authority(tmp_path))
    with pytest.raises(DatabaseError, match="certificate verify failed"):
        other.connect("codex_tap_machine_ann")


def test_a_machine_may_have_a_certificate_instead_of_a_password(team: Team) -> None:
    key = team.authority.certificate_file("codex_tap_machine_cert")
    key.chmod(0o600)
    options = f"&sslcert={key}&sslkey={key}"
    with contextlib.closing(team.connect("codex_tap_machine_cert", options=options)) as connection:
        assert connection.execute("SELECT nonce FROM codex_tap.where_1(%s)", (str(uuid.uuid4()),)).fetchall() == [
            (None,)
        ]
        versions = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchall()
    assert versions == [("TLSv1.3",)]
    with pytest.raises(DatabaseError, match="certificate"):
        team.connect("codex_tap_machine_cert")


# Secrets


def test_no_password_is_in_a_message_or_in_the_servers_log(team: Team) -> None:
    """The server gets what it keeps of a password, and not the password, even where it logs every statement."""
    assert "CREATE ROLE" in team.server.log
    passwords = [password for password in team.passwords.values() if password]
    assert len(passwords) == 5
    assert [password for password in passwords if password in team.server.log] == []
    wrong = "wrong-password-of-nobody"
    with pytest.raises(DatabaseError) as caught:
        connect(read_address(team.url("codex_tap_reader_lead"), is_argument=True), password=wrong)
    assert wrong not in str(caught.value)
    assert team.server.url(team.database, ADMIN) not in str(caught.value)
    for variables in ({}, {"CODEX_TAP_DB": f"postgresql://x:{wrong}@localhost:1/y"}):
        arguments = ["team", "machines"] if variables else ["team", "machines", "--db", f"postgresql://x:{wrong}@h/y"]
        done = CliRunner().invoke(cli, arguments, env=variables)
        assert done.exit_code
        assert wrong not in done.output
