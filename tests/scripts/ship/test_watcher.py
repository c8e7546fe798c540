"""Shipping for as long as a program runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from scripts.ship.shipper import Shipper
from scripts.ship.watcher import ASK_SECONDS, Watch
from store.errors import DatabaseError
from store.outbox.ledger import Wishes
from tests.support.databases import record
from tests.support.factories import turn, used
from tests.support.harness import wait_until
from tests.support.launcher import POSIX
from tests.support.shipping import connector
from tests.support.web_server import CLI

if TYPE_CHECKING:
    from pathlib import Path

    from store.team.way_in import WayIn
    from tests.support.postgres import PostgresServer

_TURNS = "SELECT count(*) FROM codex_tap.requests"


class _Team:
    """A team's database that can be away, and counts the connections to it."""

    def __init__(self, url: str) -> None:
        self.is_away = False
        self.connections = 0
        self._connect = connector(url)

    def __call__(self) -> WayIn:
        self.connections += 1
        if self.is_away:
            raise DatabaseError("it is away")
        return self._connect()


@pytest.fixture(name="team")
def _team(postgres_server: PostgresServer, team_database: str) -> _Team:
    return _Team(postgres_server.url(team_database))


def _watch(path: Path, team: _Team) -> tuple[Watch, list[str]]:
    lines: list[str] = []
    return Watch(path, Shipper(path, Wishes(), team), log=lines.append), lines


def test_it_ships_what_is_new_and_asks_only_then(
    path: Path, team: _Team, postgres_server: PostgresServer, team_database: str
) -> None:
    """Its own notes are one more look, and no change; there is no connection between two looks."""
    watching, lines = _watch(path, team)
    stop = threading.Event()
    assert watching.look(stop) == 1.0
    assert team.connections == 0, "there is no database yet"
    record(path, turn(at=time.time()))
    watching.look(stop)
    watching.look(stop)
    connections = team.connections
    for _ in range(3):
        assert watching.look(stop) == 1.0
    assert (team.connections, lines) == (connections, [])
    record(path, turn(at=time.time()))
    watching.look(stop)
    assert postgres_server.execute(_TURNS, team_database) == [(2,)]
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'codex-tap'"
    wait_until(lambda: postgres_server.execute(ours) == [(0,)], lambda: "a connection is left")
    watching.close()


def test_it_is_heard_even_without_news(
    path: Path, team: _Team, postgres_server: PostgresServer, team_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, _ = _watch(path, team)
    stop = threading.Event()
    record(path, turn(at=time.time()))
    watching.look(stop)
    watching.look(stop)
    heard = "SELECT last_seen_at FROM codex_tap.machines"
    before = postgres_server.execute(heard, team_database)
    watching.look(stop)
    assert postgres_server.execute(heard, team_database) == before
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + ASK_SECONDS + 1)
    watching.look(stop)
    assert postgres_server.execute(heard, team_database) > before
    watching.close()


def test_one_that_is_away_is_tried_ever_more_rarely(path: Path, team: _Team) -> None:
    """It is said once, and that it works again."""
    watching, lines = _watch(path, team)
    stop = threading.Event()
    record(path, turn(at=time.time()))
    team.is_away = True
    assert [watching.look(stop) for _ in range(5)] == [2.0, 4.0, 8.0, 10.0, 10.0]
    team.is_away = False
    assert watching.look(stop) == 1.0
    assert lines == ["it is away; trying again", "shipping again"]
    watching.close()


def test_what_a_stop_leaves_is_new_to_the_last_look(
    path: Path, team: _Team, postgres_server: PostgresServer, team_database: str
) -> None:
    watching, _ = _watch(path, team)
    stop = threading.Event()
    record(path, turn(at=time.time()))
    stop.set()
    watching.look(stop)
    stop.clear()
    watching.look(stop)
    assert postgres_server.execute(_TURNS, team_database) == [(1,)]
    watching.close()


def test_rows_that_are_refused_are_told(
    path: Path, team: _Team, postgres_server: PostgresServer, team_database: str
) -> None:
    watching, lines = _watch(path, team)
    record(path, *(used(number, at=time.time() + number) for number in range(3)))
    postgres_server.execute("ALTER TABLE codex_tap.snapshots ADD CHECK (row_id <> 2)", team_database)
    watching.look(threading.Event())
    assert lines == ["the team's database refused rows, which were left out: 1"]
    watching.close()


def _program(path: Path, url: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(CLI), "ship", url, "--watch", "--interval", "0.1", "--db", str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_ends_at_a_signal(
    path: Path, postgres_server: PostgresServer, team_database: str, number: signal.Signals
) -> None:
    """And ships until then; two of them on one file do each other no harm."""
    url = postgres_server.url(team_database)
    record(path, turn(at=time.time()))
    with _program(path, url) as one, _program(path, url) as other:
        wait_until(lambda: postgres_server.execute(_TURNS, team_database) == [(1,)], lambda: "nothing was shipped")
        record(path, turn(at=time.time()))
        wait_until(lambda: postgres_server.execute(_TURNS, team_database) == [(2,)], lambda: "nothing more was shipped")
        for each in (one, other):
            assert each.stderr is not None
            assert each.stderr.readline().startswith(f"codex-tap: shipping {path} to postgresql://postgres@/")
            os.kill(each.pid, number)
        for each in (one, other):
            assert each.stderr is not None
            assert (each.wait(20), each.stderr.read()) == (0, "")
