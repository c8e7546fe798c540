"""The command `ship`."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import turn, used

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer


@pytest.fixture(name="url")
def _url(postgres_server: PostgresServer, team_database: str) -> str:
    return postgres_server.url(team_database)


def _recorded(path: Path) -> None:
    at = time.time()
    record(path, used(10, at=at), turn(at=at), turn(at=at + 1))


def test_it_says_how_much_was_sent(path: Path, url: str) -> None:
    """And where to, without a question's values; with --quiet nothing."""
    _recorded(path)
    result = invoke("ship", url)
    assert result.exit_code == 0
    assert result.output == f"Sent 1 snapshot and 2 turns to {url.removesuffix('&port=5432')}.\n"
    assert invoke("ship", url).output == f"Nothing new for {url.removesuffix('&port=5432')}.\n"
    record(path, turn(at=time.time()))
    assert invoke("ship", url, "--quiet").output == ""


def test_the_address_may_be_in_the_environment(path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a password, which is not shown."""
    _recorded(path)
    monkeypatch.setenv("CODEX_TAP_SHIP", url.replace("postgres@", "postgres:hunter2@"))
    result = invoke("ship")
    assert result.exit_code == 0
    assert "1 snapshot" in result.output
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], 2, "name the team's database"),
        (["postgresql://ann:hunter2@localhost/d"], 2, "holds a password"),
        (["somewhere"], 2, "cannot be read"),
        (["postgresql://ann@127.0.0.1:1/d"], 4, "Connection refused"),
        (["postgresql://ann@localhost/d", "--json"], 2, "--json requires --status"),
        (["postgresql://ann@localhost/d", "--name", " "], 2, "a name must not be empty"),
        (["postgresql://ann@localhost/d", "--interval", "5"], 2, "--interval requires --watch"),
        (["--off"], 3, "Nothing was ever sent"),
    ],
    ids=["no address", "password", "not one", "nobody there", "json", "name", "interval", "off"],
)
def test_wrong_use_is_said_in_one_line(path: Path, arguments: list[str], code: int, reason: str) -> None:
    _recorded(path)
    result = invoke("ship", *arguments)
    assert result.exit_code == code
    assert reason in result.stderr
    assert "hunter2" not in result.output
    assert "Traceback" not in result.output


def test_a_refused_role_is_said(path: Path, url: str) -> None:
    """One that does not exist, or may not ship."""
    _recorded(path)
    result = invoke("ship", url.replace("postgres@", "nobody_here@"))
    assert (result.exit_code, "does not exist" in result.stderr, result.stderr.count("\n")) == (4, True, 1)


def test_without_a_database_nothing_is_known(url: str) -> None:
    assert invoke("ship", url).exit_code == 3


def test_the_status_says_what_is_left(path: Path, url: str) -> None:
    _recorded(path)
    assert (invoke("ship", "--status").exit_code, invoke("ship", "--status", "--json").exit_code) == (3, 3)
    invoke("ship", url)
    record(path, turn(at=time.time()))
    assert invoke("ship", "--status").output.startswith("Not sent yet: 0 snapshots and 1 turn.\nLast sent: ")
    document = json.loads(invoke("ship", "--status", "--json").output)
    assert (document["shipping"], document["snapshots_left"], document["turns_left"]) == (True, 0, 1)
    result = invoke("ship", "--off")
    assert (result.exit_code, "has ended" in result.output) == (0, True)
    assert "Shipping has ended" in invoke("ship", "--status").output
    invoke("ship", url)
    assert json.loads(invoke("ship", "--status", "--json").output)["shipping"]


def test_choices_are_kept(path: Path, url: str, postgres_server: PostgresServer, team_database: str) -> None:
    """The name of the machine as well."""
    _recorded(path)
    invoke("ship", url, "--emails", "drop", "--threads", "hash", "--name", "laptop")
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT emails, threads, name FROM ship_file").fetchone()
    assert kept == ("drop", "hash", "laptop")
    record(path, turn(at=time.time()))
    invoke("ship", url)
    seen = "SELECT m.name, a.email FROM codex_tap.machines m, codex_tap.accounts a"
    assert postgres_server.execute(seen, team_database) == [("laptop", None)]
