"""A team's database: how many rows and batches a second it takes from its machines, on a server that syncs to disk."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Spread, percentile
from tests.bench.table import Row
from tests.support.postgres import PostgresServer, find_programs
from tests.support.team import TeamMachine, account_number, team_account, team_snapshot, team_turn

if TYPE_CHECKING:
    import psycopg

    from tests.bench.sizes import Size

_FEW_ROWS = 2
_BATCHES_OF_TEN_THOUSAND = 10_000 / 60
"""Batches a second of 10,000 machines that ship once a minute."""


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
            speed, times = _measure(server, connections, size.team_rows, max(1, size.team_bulk // connections))
            rows += [
                Row(f"team, rows, {connections} at once", "/s", Spread.exactly(speed * 2 * size.team_rows)),
                Row(f"team, such a batch, {connections} at once", "ms", Spread.of(times)),
            ]
        for connections in size.team_connections:
            speed, times = _measure(server, connections, _FEW_ROWS, max(1, size.team_batches // connections))
            share = 100 * _BATCHES_OF_TEN_THOUSAND / speed
            rows += [
                Row(f"team, small batches, {connections} at once", "/s", Spread.exactly(speed)),
                Row(f"team, p99 of a small batch, {connections} at once", "ms", Spread.exactly(percentile(times, 99))),
                Row(
                    f"team, share of the server for 10,000 machines, {connections} at once",
                    "%",
                    Spread.exactly(share),
                    target="at most 100 %",
                    met=share <= 100,
                ),
            ]
    return rows


def _measure(server: PostgresServer, connections: int, rows: int, batches: int) -> tuple[float, list[float]]:
    """Return batches a second of all connections, and the milliseconds of each batch."""
    database = server.create_team_database()
    with ExitStack() as stack:
        shippers = [
            _Shipper(stack.enter_context(closing(server.connect(database))), number, rows, batches)
            for number in range(connections)
        ]
        threads = [threading.Thread(target=shipper.ship) for shipper in shippers]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - begin
    times = [each for shipper in shippers for each in shipper.milliseconds]
    assert len(times) == connections * batches, "a batch was not taken"
    return len(times) / took, times
