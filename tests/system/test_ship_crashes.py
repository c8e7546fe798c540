"""Shippers, recorders and the team's server are killed at random; then every row is compared.

Three machines record, one account in common; four shippers ship, two of them the same file. CODEX_TAP_LONG kills more.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from store import edits
from store.database import open_writer
from store.team import schema
from tests.support.harness import LONG, REPOSITORY
from tests.support.postgres import PostgresServer
from tests.support.shipping import Clock, Comparison, Machine
from tests.support.working_machine import SHARED, own_account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KILLS = 340 if LONG else 30
_CHANCE = 0.02
"""That a shipper kills itself at each of the two moments of a batch."""

_PAUSE_SECONDS = 0.05, 0.7
_WORK_SECONDS = 10_000
_EVENTS = {"shipper": 8, "recorder": 3, "server": 3, "backend": 4, "restart": 1, "rename": 4, "forget": 1}


class _Field:
    """The machines, their processes, and the server."""

    def __init__(self, folder: Path, server: PostgresServer, database: str, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 (no secret)
        self.server, self.database = server, database
        url, clock = server.url(database), Clock(0)
        self.machines = [Machine(folder / f"m{number}.sqlite3", url, clock, most=2_000) for number in range(3)]
        self.counts = Counter[str]()
        self._log = (folder / "log").open("wb")
        self._recorders = [self._start_recorder(number) for number in range(3)]
        self._shippers = [(number, self._start_shipper(number)) for number in (0, 0, 1, 2)]

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"tests.support.{module}", *arguments]
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=self._log, stderr=self._log)

    def _start_recorder(self, number: int) -> subprocess.Popen[bytes]:
        return self._start("working_machine", str(self.machines[number].path), str(number), str(_WORK_SECONDS))

    def _start_shipper(self, number: int) -> subprocess.Popen[bytes]:
        machine = self.machines[number]
        return self._start("dying_shipper", str(machine.path), machine.url, str(_CHANCE))

    def close(self) -> None:
        for process in (*self._recorders, *(each for _, each in self._shippers)):
            process.kill()
            process.wait()
        self._log.close()

    @property
    def kills(self) -> int:
        return sum(self.counts[name] for name in ("shipper", "recorder", "server", "backend"))

    def step(self) -> None:
        """Start again what killed itself, wait, and do one thing more."""
        time.sleep(self.random.uniform(*_PAUSE_SECONDS))
        for index, (number, process) in enumerate(self._shippers):
            if process.poll() is not None:
                self.counts["own deaths"] += 1
                self._shippers[index] = number, self._start_shipper(number)
        (event,) = self.random.choices(list(_EVENTS), list(_EVENTS.values()))
        if getattr(self, f"_{event}")():
            self.counts[event] += 1

    def _shipper(self) -> bool:
        index = self.random.randrange(len(self._shippers))
        number, process = self._shippers[index]
        process.kill()
        process.wait()
        self._shippers[index] = number, self._start_shipper(number)
        return True

    def _recorder(self) -> bool:
        number = self.random.randrange(3)
        self._recorders[number].kill()
        self._recorders[number].wait()
        self._recorders[number] = self._start_recorder(number)
        return True

    def _server(self) -> bool:
        self.server.kill()
        time.sleep(self.random.uniform(0, 0.5))
        self.server.start()
        return True

    def _restart(self) -> bool:
        self.server.stop()
        self.server.start()
        return True

    def _backend(self) -> bool:
        rows = self.server.execute("SELECT pid FROM pg_stat_activity WHERE query LIKE '%ship_1%' AND state = 'active'")
        working = [pid for (pid,) in rows if pid != os.getpid()]
        if not working:
            return False
        try:
            os.kill(self.random.choice(working), signal.SIGTERM)
        except ProcessLookupError:  # it ended in between
            return False
        return True

    def _rename(self) -> bool:
        machine = self.random.choice(self.machines)
        name = f"name {self.random.randrange(1_000_000)}"
        with contextlib.suppress(sqlite3.Error):  # it has recorded nothing yet, or a recorder holds it
            threads = machine.ask("SELECT thread FROM threads")
            if not threads:
                return False
            (thread,) = self.random.choice(threads)
            machine.ask("UPDATE threads SET name = ? WHERE thread = ?", self.random.choice((None, name)), thread)
            own = own_account(self.machines.index(machine))
            machine.ask("UPDATE accounts SET name = ? WHERE account_id = ?", name, own)
            return True
        return False

    def _forget(self) -> bool:
        with contextlib.suppress(sqlite3.Error), _writing(self.random.choice(self.machines)) as connection:
            row = connection.execute("SELECT id FROM accounts WHERE account_id = ?", (SHARED,)).fetchone()
            if row is not None:
                edits.forget_account(connection, row[0])
                return True
        return False


@contextlib.contextmanager
def _writing(machine: Machine) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(open_writer(machine.path)) as connection:
        connection.execute("PRAGMA busy_timeout = 5000")
        yield connection


def _install(server: PostgresServer) -> str:
    database = server.create_database()
    with contextlib.closing(server.connect(database)) as connection:
        schema.install(connection)
    return database


@pytest.mark.timeout(0 if LONG else 600)
def test_kills_lose_and_double_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kill leaves the page cache, so the server need not wait for the disk; its commits have to be written."""
    seed = random.randrange(1_000_000)  # noqa: S311 (no secret)
    began = time.monotonic()
    with PostgresServer({"synchronous_commit": "on"}) as server:
        field = _Field(tmp_path, server, _install(server), seed)
        with contextlib.closing(field):
            _wait_for_files(field)
            while field.kills < _KILLS:
                field.step()
        for machine in field.machines:
            machine.ship()
        with contextlib.closing(server.connect(field.database)) as connection:
            found = Comparison(connection, [machine.path for machine in field.machines])
    counts = ", ".join(f"{name} {field.counts[name]}" for name in (*_EVENTS, "own deaths"))
    with capsys.disabled():
        took = time.monotonic() - began
        print(f"\nseed {seed}: {counts}; rows compared {found.rows}, faults {len(found.faults)}; {took:.0f} s")
    assert found.faults == []
    assert found.rows > 1_000


def _wait_for_files(field: _Field) -> None:
    deadline = time.monotonic() + 60
    while not all(machine.path.exists() for machine in field.machines):
        assert time.monotonic() < deadline
        time.sleep(0.1)
