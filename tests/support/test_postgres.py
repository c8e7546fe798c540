"""The server that the tests of a team's database run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import postgres
from tests.support.harness import wait_until
from tests.support.postgres import PostgresServer, require_postgres


def test_each_database_is_new_and_the_server_runs_unprivileged(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    postgres_server.execute("CREATE TABLE only_here (id INTEGER)", first)
    with pytest.raises(psycopg.errors.UndefinedTable):
        postgres_server.execute("SELECT * FROM only_here", second)
    assert postgres_server.data.stat().st_uid != 0
    assert postgres_server.data.stat().st_mode & 0o777 == 0o700


def _is_cut_off(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Return True once the process of a connection has noticed that its server is gone."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_a_killed_server_starts_again_with_what_was_committed() -> None:
    with PostgresServer(durable=True) as server:
        server.execute("CREATE TABLE kept (id INTEGER)")
        server.execute("INSERT INTO kept VALUES (7)")
        with contextlib.closing(server.connect()) as connection:
            server.kill()
            wait_until(lambda: _is_cut_off(connection), lambda: "the connection outlives its server")
        server.start()
        assert server.execute("SELECT id FROM kept") == [(7,)]
        pid, folder = server.pid, server.folder
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


_PROGRAM = """
import time
from tests.support.postgres import PostgresServer
with PostgresServer() as server:
    print(server.folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.usefixtures("postgres_server")
def test_a_server_ends_with_its_tests_though_they_were_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        folder = Path(tests.stdout.readline().strip())
        running = folder / "data" / "postmaster.pid"
        assert running.exists()
        tests.kill()
    try:
        wait_until(lambda: not running.exists(), lambda: "the server outlives its tests")
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_the_programs_tests_are_skipped_or_fail(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(postgres, "find_programs", lambda: None)
    monkeypatch.setenv("CODEX_TAP_REQUIRE_POSTGRES", required)
    with pytest.raises(outcome, match="no PostgreSQL"):
        require_postgres()
