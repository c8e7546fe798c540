"""A connection to a team's database answers as one to a file does, and says in a line why it cannot."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.connection import is_file
from store.errors import DatabaseError
from store.queries.cursors import change_number, is_among, read_transaction, stream, tuple_cursor
from store.team import connection as team
from store.team.address import TeamAddress, read_address
from store.team.connection import open_team_reader
from store.team.schema import SCHEMA_VERSION
from tests.support.databases import record
from tests.support.factories import used
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from store.team.connection import TeamConnection
    from tests.support.postgres import PostgresServer

_ASK_FILE = """
import sys
from scripts.cli import cli
for command in ("status", "usage", "events", "history", "accounts", "statusline"):
    cli([command, "--db", sys.argv[1]], standalone_mode=False)
print([name for name in sys.modules if name.startswith(("psycopg", "store.team"))])
"""

_SET_VERSION = "UPDATE codex_tap.installation SET schema_version = {}"

SECRET = "not-for-anybody"


def address(server: PostgresServer, database: str, user: str = "postgres") -> TeamAddress:
    return read_address(server.url(database, user), is_argument=True, environment={})


@pytest.fixture
def reader(postgres_server: PostgresServer, team_database: str) -> Iterator[TeamConnection]:
    with closing(open_team_reader(address(postgres_server, team_database))) as connection:
        yield connection


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        ("SELECT ?, '?'", (3,), [3, "?"]),
        ("SELECT :low + :low, ':low', '100 %'", {"low": 2}, [4, ":low", "100 %"]),
        ("SELECT 7 % ?", (4,), [3]),
        ("SELECT 1 WHERE ? IS NULL OR 'a' = ?", (None, None), [1]),
        ("SELECT CAST(? / 900 AS BIGINT)", (1799.5,), [1]),
        ("SELECT CAST(coalesce(?, 0.0) / 2 AS BIGINT), 1.5", (3.8,), [1, 1.5]),
        ("SELECT count(*) FROM main.accounts", (), [0]),
        (
            "SELECT coalesce(sum(v), 0), sum(1.0 * v) FROM (VALUES (9007199254740993)) AS t (v)",
            (),
            [9007199254740993, 9007199254740993.0],
        ),
        ("SELECT v FROM (VALUES ('b'), ('B'), ('a')) AS t (v) WHERE v > ? ORDER BY v COLLATE \"C\"", ("A",), ["B"]),
        ("SELECT 'it''s ?', ?", ("O'Brien",), ["it's ?", "O'Brien"]),
        ("SELECT ?", (float("inf"),), [float("inf")]),
    ],
    ids=["number", "name", "percent", "null", "floor", "nested", "main", "sum", "order", "quote", "infinity"],
)
def test_statements_are_those_of_a_file(
    reader: TeamConnection, statement: str, values: Any, expected: list[Any]
) -> None:
    """Placeholders, sums and the cut of a fraction."""
    row = reader.execute(statement, values).fetchone()
    assert list(row) == expected
    assert [type(each) for each in row] == [type(each) for each in expected]


def test_a_row_has_names_and_numbers(reader: TeamConnection) -> None:
    """As `sqlite3.Row` has; a cursor for many rows has tuples."""
    row = reader.execute("SELECT 1 AS one, 2 AS two, 3 AS three").fetchone()
    assert (row["two"], row[0], row[1:], len(row), dict(row)) == (2, 1, (2, 3), 3, {"one": 1, "two": 2, "three": 3})
    with pytest.raises(KeyError):
        row["four"]
    assert tuple_cursor(reader).execute("SELECT 1, 2").fetchall() == [(1, 2)]


def test_all_answers_are_of_one_state(
    reader: TeamConnection, postgres_server: PostgresServer, team_database: str
) -> None:
    """Until the transaction ends; the number of changes ends it."""
    assert not is_file(reader)
    with read_transaction(reader):
        before = reader.execute("SELECT count(*) FROM limit_names").fetchone()[0]
        postgres_server.execute("INSERT INTO codex_tap.limit_names VALUES ('GPT', 'codex_gpt')", team_database)
        assert reader.execute("SELECT count(*) FROM limit_names").fetchone()[0] == before
    number = change_number(reader)
    assert not reader.in_transaction
    assert reader.execute("SELECT count(*) FROM limit_names").fetchone()[0] == before + 1
    reader.rollback()
    assert change_number(reader) == number
    postgres_server.execute("UPDATE codex_tap.installation SET edits = edits + 1", team_database)
    assert change_number(reader) == number + 1


def test_nothing_can_be_written(reader: TeamConnection) -> None:
    """Whatever the role may do."""
    with pytest.raises(DatabaseError, match="read-only transaction"):
        reader.execute("INSERT INTO limit_names VALUES ('a', 'b')")


def test_a_long_answer_comes_in_parts(reader: TeamConnection) -> None:
    """Several can be read side by side."""
    query = "SELECT n AS number FROM generate_series(1, ?) AS n"
    both = [stream(reader, query, (12_345,)), stream(reader, query, (3,))]
    assert [next(each)["number"] for each in both] == [1, 1]
    assert [sum(1 for _ in each) for each in both] == [12_344, 2]


@pytest.mark.parametrize(("values", "number"), [(range(700), 9), ([2, 5], 2), ([], 0)], ids=["many", "some", "none"])
def test_many_accounts_are_no_condition(reader: TeamConnection, values: Sequence[int], number: int) -> None:
    """A statement with thousands of values takes longer to read than all rows."""
    condition, ids = is_among("n", values)
    query = f"SELECT count(*) FROM generate_series(1, 9) AS n WHERE {condition}"  # noqa: S608 (marks)
    assert reader.execute(query, ids).fetchone()[0] == number


def test_a_question_ends(postgres_server: PostgresServer, team_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes too long is ended by the server."""
    monkeypatch.setattr(team, "_BEGIN", team._BEGIN.replace("60000", "50"))
    with (
        closing(open_team_reader(address(postgres_server, team_database))) as connection,
        pytest.raises(DatabaseError, match="takes longer than 60 s"),
    ):
        connection.execute("SELECT pg_sleep(30)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _SET_VERSION.format(SCHEMA_VERSION + 1),
            "newer codex-tap .* update codex-tap",
        ),
        (_SET_VERSION.format(SCHEMA_VERSION - 1), "older codex-tap .* team init"),
        ("DROP SCHEMA codex_tap CASCADE", "has no tables of codex-tap.*team init"),
        ("DELETE FROM codex_tap.installation", "has no tables of codex-tap.*team init"),
    ],
    ids=["newer", "older", "none", "empty"],
)
def test_another_schema_is_refused(
    postgres_server: PostgresServer, team_database: str, change: Any, message: str
) -> None:
    """With what to do about it."""
    postgres_server.execute(change, team_database)
    with pytest.raises(DatabaseError, match=message) as caught:
        open_team_reader(address(postgres_server, team_database))
    assert len(str(caught.value).splitlines()) == 1


def test_a_machine_reads_nothing(postgres_server: PostgresServer, team_database: str) -> None:
    """Its role may ship, and is told what a reader needs."""
    postgres_server.execute("CREATE ROLE laptop LOGIN IN ROLE codex_tap_machines", team_database)
    try:
        with pytest.raises(DatabaseError, match="laptop may not read"):
            open_team_reader(address(postgres_server, team_database, "laptop"))
    finally:
        postgres_server.execute("DROP ROLE laptop")


@pytest.mark.parametrize(
    "url",
    ["postgresql://ann:{}@127.0.0.1:1/team", "postgresql://ann:{}@/nowhere?host={}"],
    ids=["no server", "no database"],
)
def test_a_failure_names_the_place_and_no_password(postgres_server: PostgresServer, url: str) -> None:
    """In one line."""
    text = url.format(SECRET, postgres_server.folder)
    with pytest.raises(DatabaseError) as caught:
        open_team_reader(read_address(text, is_argument=False, environment={}))
    message = str(caught.value)
    assert message.startswith("postgresql://ann@")
    assert SECRET not in message
    assert len(message.splitlines()) == 1


def test_a_server_that_goes_away_is_an_error_of_the_database(
    reader: TeamConnection, postgres_server: PostgresServer, team_database: str
) -> None:
    """And the connection can still be closed."""
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        team_database,
    )
    with pytest.raises(DatabaseError):
        reader.execute("SELECT 1")


def test_a_file_is_read_without_psycopg(path: Path) -> None:
    """Every command pays for what is imported."""
    record(path, used(13))
    done = subprocess.run(
        [sys.executable, "-c", _ASK_FILE, path], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "alice@example.com" in done.stdout
