"""The recorder alone: how fast it brings snapshots to the file, and whether a burst is lost or blocks."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from addon import headers
from store.models import Identity, Limit, Snapshot, Source
from store.record.recorder import Recorder
from tests.bench.figures import Spread, percentile
from tests.bench.table import Row
from tests.bench.traffic import EVERY, Figures

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.bench.sizes import Size

CLOSE_SECONDS = 300.0
BLOCKED_MICROSECONDS = 50_000
"""A put that takes so long waited for more than its turn at the interpreter, which is 5 ms for each other thread."""


@dataclass(frozen=True)
class Burst:
    """What came of putting so much at once: the snapshots that reached the file a second, the puts, and the lost.

    A snapshot is one limit as it stood: each answer that is put here tells of two.
    """

    per_second: float
    put_microseconds: list[float]
    lost: int


def throughput(size: Size) -> list[Row]:
    """A burst of snapshots put as fast as can be: with figures as live traffic has them, and each with new ones."""
    rows = []
    for name, every in (("recorder", EVERY), ("recorder, each with new figures", 1)):
        bursts = [burst(snapshots(size.snapshots, every)) for _ in range(size.recorder_runs)]
        speed = Spread.of([burst.per_second for burst in bursts])
        puts = [took for burst in bursts for took in burst.put_microseconds]
        lost = sum(burst.lost for burst in bursts)
        rows += [
            Row(name, "/s", speed, target="at least 20,000/s", met=speed.median >= 20_000),
            Row(
                f"{name}, longest put",
                "µs",
                Spread.exactly(max(puts)),
                target="below 50,000 µs",
                met=max(puts) < BLOCKED_MICROSECONDS,
            ),
            Row(f"{name}, p99 of the puts", "µs", Spread.exactly(percentile(puts, 99))),
            Row(f"{name}, lost of {2 * len(puts):,}", "", Spread.exactly(lost), target="none", met=lost == 0),
        ]
    return rows


def snapshots(count: int, every: int) -> list[Snapshot]:
    """Return snapshots of a header set with two limits; the used percentages are others after each `every` of them."""
    identity = Identity(token_key="token~0123456789", account_id="account", user_id="user", plan_type="pro")
    begin = time.time()
    wire = [(name.encode(), value.encode()) for name, value in Figures(1).headers().items()]
    told = headers.read(headers.collect(wire), begin)
    assert told
    found = []
    limits = told.limits
    for number in range(count):
        if number % every == 0:
            limits = tuple(_used(limit, number // every % 1_000 / 10) for limit in told.limits)
        moment = begin + number / 1_000
        found.append(
            Snapshot(
                identity=identity,
                observed_at=moment,
                source=Source.HEADERS,
                reading=told.model_copy(update={"limits": limits, "server_time": moment}),
                status=200,
                model="gpt-6.1-sol",
                thread="0199d2a4-7c1b-7f1e-9d43-6a1f4f7a2b10",
            )
        )
    return found


def _used(limit: Limit, percent: float) -> Limit:
    windows = {
        slot: window.model_copy(update={"used_percent": percent}) for slot, window in (limit.windows or {}).items()
    }
    return limit.model_copy(update={"windows": windows})


def burst(
    entries: list[Snapshot], beside: Callable[[Path], AbstractContextManager[None]] = lambda _path: nullcontext()
) -> Burst:
    """Put snapshots as fast as can be; `beside` runs meanwhile, and gets the path of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recorder.sqlite3"
        recorder = Recorder(path)
        recorder.start()
        puts = []
        with beside(path):
            begin = time.perf_counter()
            for entry in entries:
                before = time.perf_counter_ns()
                recorder.put(entry)
                puts.append((time.perf_counter_ns() - before) / 1_000)
            if not recorder.close(CLOSE_SECONDS):
                raise RuntimeError("not all could be written")
            took = time.perf_counter() - begin
        put, found = sum(len(each.reading.limits) for each in entries), _sightings(path)
        return Burst(found / took, puts, put - found)


def _sightings(path: Path) -> int:
    """How often a limit was seen, by the file."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT sum(observations) FROM snapshots").fetchone()
    return int(found or 0)
