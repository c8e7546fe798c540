"""Shipping to a team's database: what the recorder notices of it, and how fast a machine that was away catches up."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.ship.shipper import Shipper, ship_all
from store.outbox.ledger import Wishes
from tests.bench.figures import Spread, percentile
from tests.bench.recorder import burst, snapshots
from tests.bench.table import Row
from tests.support.postgres import PostgresServer, find_programs
from tests.support.shipping import connector
from tests.support.synthetic_history import Size as History
from tests.support.synthetic_history import generate
from tests.support.web_server import CLI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.sizes import Size

_INTERVAL = "1"
"""Seconds between two looks of the shipper: thirty times as often as usual."""


def shipping(size: Size) -> list[Row]:
    """The recorder with and without a shipper of its file, and the speed of a shipper."""
    if find_programs() is None:
        return [Row("ship", "", target="this measure needs PostgreSQL's programs")]
    with PostgresServer(durable=True) as server:
        return [*_recorder_rows(server, size), _caught_up(server, size)]


def _recorder_rows(server: PostgresServer, size: Size) -> list[Row]:
    """Bursts in which every snapshot has new figures, in turn with and without a shipper."""
    entries = snapshots(size.snapshots, 1)
    alone, beside = [], []
    for _ in range(size.recorder_runs):
        alone.append(burst(entries))
        beside.append(burst(entries, lambda path: _watching(path, server)))
    rows = []
    for name, found in (("alone", alone), ("while shipping", beside)):
        puts = [took for each in found for took in each.put_microseconds]
        rows += [
            Row(f"recorder, {name}", "/s", Spread.of([each.per_second for each in found])),
            Row(f"recorder, {name}, p99 of the puts", "µs", Spread.exactly(percentile(puts, 99))),
        ]
    lost = sum(each.lost for each in beside)
    return [*rows, Row("recorder, while shipping, lost", "", Spread.exactly(lost), target="none", met=lost == 0)]


@contextlib.contextmanager
def _watching(path: Path, server: PostgresServer) -> Iterator[None]:
    url = server.url(server.create_team_database())
    command = [sys.executable, str(CLI), "ship", url, "--watch", "--interval", _INTERVAL, "--db", str(path), "--quiet"]
    with subprocess.Popen(command) as process:
        time.sleep(2)  # for its imports
        try:
            yield
        finally:
            process.terminate()


def _caught_up(server: PostgresServer, size: Size) -> Row:
    """Rows a second of a real shipper, with the reading of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "away.sqlite3"
        rows = size.team_rows * size.team_bulk
        generate(path, History(snapshots=rows, turns=rows), time.time())
        with Shipper(path, Wishes(), connector(server.url(server.create_team_database()))) as shipper:
            begin = time.perf_counter()
            sent = ship_all(shipper)
            took = time.perf_counter() - begin
    return Row("ship, rows of a machine that was away", "/s", Spread.exactly((sent.snapshots + sent.requests) / took))
