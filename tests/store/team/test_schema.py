"""The schema of a team's database: its columns beside a file's, and what a run on an older or a foreign one does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from store.database import open_writer
from store.errors import DatabaseError
from store.readable_rows import TABLES
from store.team import schema
from store.team.schema import SCHEMA_VERSION, install

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

_OF_ONE_FILE = {"imported_files", "spills", "edits", "_sqlite_migrations", "sqlite_sequence"}
"""What says something of one file alone: which other files it has read, and how it was made."""


def _columns_of_file(path: Path) -> dict[str, set[str]]:
    with contextlib.closing(open_writer(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for table in set(tables) - _OF_ONE_FILE
        }


def test_each_table_and_column_of_a_file_is_there(
    path: Path, team_database: str, postgres_server: PostgresServer
) -> None:
    """A column that is added to the file has to be added here, with a step of its own."""
    there = dict[str, set[str]]()
    for table, column in postgres_server.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'codex_tap'", team_database
    ):
        there.setdefault(table, set()).add(column)
    wanted = _columns_of_file(path)
    assert {"snapshots", "requests", "accounts"} <= wanted.keys()
    assert {table: sorted(columns - there.get(table, set())) for table, columns in wanted.items()} == {
        table: [] for table in wanted
    }


def test_the_bounds_of_values_are_those_of_a_file(team_database: str, postgres_server: PostgresServer) -> None:
    """What `store.readable_rows` says of a column, the type of the column says, too."""
    kinds = {
        "key": "words", "text": "words", "json": "json_text", "time": "moment", "second": "whole_second",
        "percent": "percent", "minutes": "minutes", "count": "amount", "flag": "flag",
    }  # fmt: skip
    types = {
        (table, column): domain
        for table, column, domain in postgres_server.execute(
            "SELECT table_name, column_name, domain_name FROM information_schema.columns"
            " WHERE table_schema = 'codex_tap'",
            team_database,
        )
    }
    for table in TABLES.keys() - _OF_ONE_FILE:
        for written in TABLES[table].split():
            column, kind = written.removesuffix("!").split(":")
            if column not in {"rowid", "late", "snapshot_id"} and kind != "id":
                assert types[table, column] == kinds[kind], f"{table}.{column}"


def test_another_run_changes_nothing(team_database: str, postgres_server: PostgresServer) -> None:
    with contextlib.closing(postgres_server.connect(team_database)) as connection:
        connection.execute("UPDATE codex_tap.installation SET kept_since = 1800000000")
        assert install(connection) == SCHEMA_VERSION
        assert connection.execute("SELECT schema_version, kept_since FROM codex_tap.installation").fetchall() == [
            (SCHEMA_VERSION, 1_800_000_000)
        ]


def test_a_newer_schema_is_left_alone(team_database: str, postgres_server: PostgresServer) -> None:
    with contextlib.closing(postgres_server.connect(team_database)) as connection:
        connection.execute("UPDATE codex_tap.installation SET schema_version = 1000")
        with pytest.raises(DatabaseError, match="newer codex-tap"):
            install(connection)


def test_a_schema_of_another_program_is_left_alone(postgres_server: PostgresServer) -> None:
    database = postgres_server.create_database()
    postgres_server.execute("CREATE SCHEMA codex_tap", database)
    with (
        contextlib.closing(postgres_server.connect(database)) as connection,
        pytest.raises(DatabaseError, match="has not made"),
    ):
        install(connection)


def test_an_old_server_is_refused(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_OLDEST_SERVER", 99)
    with (
        contextlib.closing(postgres_server.connect()) as connection,
        pytest.raises(DatabaseError, match="PostgreSQL 99 or newer"),
    ):
        install(connection)
