"""The server that the tests of a team's database run."""

from __future__ import annotations

import contextlib
import os

import psycopg
import pytest

from tests.support import postgres
from tests.support.postgres import PostgresServer, require_postgres


def test_each_database_is_new_and_the_server_runs_unprivileged(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    postgres_server.execute("CREATE TABLE only_here (id INTEGER)", first)
    with pytest.raises(psycopg.errors.UndefinedTable):
        postgres_server.execute("SELECT * FROM only_here", second)
    assert postgres_server.data.stat().st_uid != 0
    assert postgres_server.data.stat().st_mode & 0o777 == 0o700


def test_a_killed_server_starts_again_with_what_was_committed() -> None:
    with PostgresServer(durable=True) as server:
        server.execute("CREATE TABLE kept (id INTEGER)")
        server.execute("INSERT INTO kept VALUES (7)")
        with contextlib.closing(server.connect()) as connection:
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        server.start()
        assert server.execute("SELECT id FROM kept") == [(7,)]
        pid, folder = server.pid, server.folder
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_the_programs_tests_are_skipped_or_fail(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(postgres, "find_programs", lambda: None)
    monkeypatch.setenv("CODEX_TAP_REQUIRE_POSTGRES", required)
    with pytest.raises(outcome, match="no PostgreSQL"):
        require_postgres()
