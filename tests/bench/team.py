"""A team's database: how many rows and batches a second it takes from its machines, on a server that syncs to disk."""

from __future__ import annotations

import json
import os
import random
import threading
import time
import uuid
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.bench.figures import Spread, percentile
from tests.bench.table import Row
from tests.support.postgres import PostgresServer, find_programs
from tests.support.team import TeamMachine, account_number, team_account, team_snapshot, team_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.bench.sizes import Size

_FEW_ROWS = 2
_BATCHES_OF_TEN_THOUSAND = 10_000 / 60
"""Batches a second of 10,000 machines that ship once a minute."""
_CORES = 2
"""Of the server that these machines may take a tenth of."""


class _Shipper:
    """A machine with an account of its own, whose batches are made beforehand."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], number: int, rows: int, batches: int) -> None:
        self._connection = connection
        machine, user = TeamMachine(connection), f"user-{number}"
        account, chance = account_number(user_id=user), random.Random(number)  # noqa: S311 (no secret)
        begin = time.time() - 30 * 86_400
        self._batches = []
        for each in range(batches):
            first = each * rows + 1
            moments = [begin + (first + row) * 7 for row in range(rows)]
            snapshots = [
                team_snapshot(
                    first + row,
                    at,
                    account=account,
                    used_5h_percent=round(chance.uniform(0, 100), 1),
                    used_7d_percent=round(chance.uniform(0, 100), 1),
                    resets_5h_at=int(at) + 9_000,
                    resets_7d_at=int(at) + 300_000,
                    window_5h_minutes=300,
                    window_7d_minutes=10_080,
                    plan_type="pro",
                    model="gpt-6.1-sol",
                    thread=str(uuid.UUID(int=chance.getrandbits(128))),
                )
                for row, at in enumerate(moments)
            ]
            turns = [
                team_turn(
                    first + row,
                    at,
                    account=account,
                    model="gpt-6.1-sol",
                    thread=str(uuid.UUID(int=chance.getrandbits(128))),
                    status=200,
                    input_tokens=chance.randrange(100_000),
                    cached_tokens=chance.randrange(50_000),
                    output_tokens=chance.randrange(5_000),
                    reasoning_tokens=chance.randrange(1_000),
                )
                for row, at in enumerate(moments)
            ]
            batch = machine.batch(snapshots, turns, accounts=[team_account(moments[-1], user, facts=first)])
            machine.nonce = batch[0]["nonce"]
            self._batches.append([json.dumps(part) for part in batch])
        self.milliseconds: list[float] = []

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the server's process for this connection so far; 0 where the system has no ``/proc``."""
        path = Path(f"/proc/{self._connection.info.backend_pid}/stat")
        if not path.exists():
            return 0.0
        user, system = path.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def ship(self) -> None:
        for batch in self._batches:
            begin = time.perf_counter()
            row = self._connection.execute("SELECT codex_tap.ship_1(%s, %s, %s)", batch).fetchone()
            self.milliseconds.append(1_000 * (time.perf_counter() - begin))
            assert row is not None
            assert row[0]["answer"] == "taken", row


def intake(size: Size) -> list[Row]:
    """Batches as of a machine that was away for long, and as of one that ships all the time."""
    if find_programs() is None:
        return [Row("team", "", target="this measure needs PostgreSQL's programs")]
    rows = []
    with PostgresServer(durable=True) as server:
        for connections in size.team_connections:
            found = _measure(server, connections, size.team_rows, max(1, size.team_bulk // connections))
            rows += [
                Row(f"team, rows, {connections} at once", "/s", Spread.exactly(found.per_second * 2 * size.team_rows)),
                Row(f"team, such a batch, {connections} at once", "ms", Spread.of(found.milliseconds)),
            ]
        for connections in size.team_connections:
            found = _measure(server, connections, _FEW_ROWS, max(1, size.team_batches // connections))
            p99 = percentile(found.milliseconds, 99)
            rows += [
                Row(f"team, small batches, {connections} at once", "/s", Spread.exactly(found.per_second)),
                Row(f"team, p99 of a small batch, {connections} at once", "ms", Spread.exactly(p99)),
                *_share(found, connections),
            ]
    return rows


def _share(found: _Measured, connections: int) -> Iterator[Row]:
    """Yield how much of a server 10,000 machines take that ship once a minute."""
    if found.cpu_seconds:
        share = 100 * _BATCHES_OF_TEN_THOUSAND * found.cpu_seconds / len(found.milliseconds) / _CORES
        name = f"team, share of a server of {_CORES} cores for 10,000 machines, {connections} at once"
        yield Row(name, "%", Spread.exactly(share), target="at most 10 %", met=share <= 10)


class _Measured(NamedTuple):
    """Batches a second of all connections, the milliseconds of each batch, and the server's processor time for all."""

    per_second: float
    milliseconds: list[float]
    cpu_seconds: float


def _measure(server: PostgresServer, connections: int, rows: int, batches: int) -> _Measured:
    """Let machines ship at once."""
    database = server.create_team_database()
    with ExitStack() as stack:
        shippers = [
            _Shipper(stack.enter_context(closing(server.connect(database))), number, rows, batches)
            for number in range(connections)
        ]
        threads = [threading.Thread(target=shipper.ship) for shipper in shippers]
        begin, used = time.perf_counter(), sum(each.cpu_seconds for each in shippers)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, used = time.perf_counter() - begin, sum(each.cpu_seconds for each in shippers) - used
    times = [each for shipper in shippers for each in shipper.milliseconds]
    assert len(times) == connections * batches, "a batch was not taken"
    return _Measured(len(times) / took, times, used)
