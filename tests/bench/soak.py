"""Fifty clients at once for minutes: does memory or latency grow with time?"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.demo.transport import InterruptedTurnError
from tests.bench.figures import percentile
from tests.bench.programs import StandIn, bare, cpu_seconds, open_files, resident_bytes, tap
from tests.bench.traffic import Figures, client, delta, make_token
from tests.support.harness import wait_until

if TYPE_CHECKING:
    from scripts.demo.client import CodexClient
    from tests.support.harness import Proxy

WEBSOCKETS = 35
STREAMS = 15
PERIOD_SECONDS = 2.0
"""Each client asks for a turn this often: 25 turns a second, about 300 messages."""

PAUSE_SECONDS = 0.05
DELTAS = 10
TURNS_OF_A_CONNECTION = 20
SAMPLES = 10
_TELL_SECONDS = 1.0
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """What a stretch of the soak looked like. Times in milliseconds at the clients, memory and CPU of the proxy."""

    minutes: float
    turns: int
    broken: int
    first_p50: float
    first_p95: float
    gap_p95: float
    resident_mebibytes: float
    open_files: int
    cpu_percent: float
    database_kibibytes: float


@dataclass
class Gathered:
    """What the clients saw since the last sample."""

    firsts: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    broken: int = 0


class Crowd:
    """The clients, each in a thread of its own, until they are told to stop or their turns are used up."""

    def __init__(self, proxy: Proxy, stand_in: StandIn, minutes: float) -> None:
        self._proxy = proxy
        self._stand_in = stand_in
        self._turns = int(minutes * 60 / PERIOD_SECONDS) + 1
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._gathered = Gathered()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(WEBSOCKETS + STREAMS)
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End when the turns under way have ended."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def take(self) -> Gathered:
        """What was seen since the last time."""
        with self._lock:
            taken, self._gathered = self._gathered, Gathered()
        return taken

    def _ask(self, number: int) -> None:
        """Ask turn after turn, over a new connection now and then."""
        begin = time.monotonic() + PERIOD_SECONDS * number / len(self._threads)
        with client(self._proxy, self._stand_in, token=make_token(), http2=True) as asking:
            for turn in range(self._turns):
                if self._stopped.wait(max(0.0, begin + turn * PERIOD_SECONDS - time.monotonic())):
                    return
                if turn % TURNS_OF_A_CONNECTION == number % TURNS_OF_A_CONNECTION:
                    asking.close()
                self._take_turn(asking, websocket=number < WEBSOCKETS)

    def wait_for_a_turn(self) -> None:
        """Wait until a turn has ended since the last `take`; raise `TimeoutError` if none does."""
        wait_until(lambda: bool(self._gathered.firsts), lambda: "no turn came to its end")

    def _take_turn(self, asking: CodexClient, *, websocket: bool) -> None:
        try:
            reply = asking.websocket_turn("say ok") if websocket else asking.http_turn("say ok", cancel=True)
        except (InterruptedTurnError, OSError):
            with self._lock:
                self._gathered.broken += 1
            return
        arrivals = [event.seconds * 1_000 for event in reply.events]
        with self._lock:
            self._gathered.firsts.append(arrivals[0])
            self._gathered.gaps += [later - earlier for earlier, later in pairwise(arrivals[1:-1])]


def soak(minutes: float, count: int = SAMPLES, *, without_tap: bool = False) -> list[Sample]:
    """Run for `minutes` and take `count` samples; a sample waits for at least one turn.

    Raises:
        TimeoutError: No turn ends any more.
    """
    with ExitStack() as stack:
        database = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "soak.sqlite3"
        stand_in = stack.enter_context(StandIn(http2=True))
        figures = Figures(int(minutes * 120 / _TELL_SECONDS))
        _tell(stand_in, figures)
        proxy = stack.enter_context(bare(stand_in) if without_tap else tap(stand_in, database))
        crowd = Crowd(proxy, stand_in, minutes)
        stack.callback(crowd.stop)
        crowd.start()
        begin = time.monotonic()
        samples = []
        for number in range(1, count + 1):
            cpu, sampled_at = cpu_seconds(proxy), time.monotonic()
            _wait(stand_in, figures, begin + minutes * 60 * number / count)
            crowd.wait_for_a_turn()
            used = (cpu_seconds(proxy) - cpu) / (time.monotonic() - sampled_at) * 100
            samples.append(_sample(time.monotonic() - begin, crowd.take(), proxy, used, database))
    return samples


def as_soak_table(samples: list[Sample]) -> str:
    """A Markdown table of the samples."""
    titles = ("min", "turns", "broken", "first p50", "first p95", "gap p95", "memory", "open files", "CPU", "database")
    lines = [titles, tuple("-" * len(title) for title in titles)]
    lines += [
        (
            f"{sample.minutes:.1f}",
            f"{sample.turns}",
            f"{sample.broken}",
            f"{sample.first_p50:.1f} ms",
            f"{sample.first_p95:.1f} ms",
            f"{sample.gap_p95:.1f} ms",
            f"{sample.resident_mebibytes:.1f} MiB",
            f"{sample.open_files}",
            f"{sample.cpu_percent:.0f} %",
            f"{sample.database_kibibytes:,.0f} KiB",
        )
        for sample in samples
    ]
    return "\n".join(f"| {' | '.join(cell.rjust(10) for cell in line)} |" for line in lines)


def growing(samples: list[Sample]) -> list[str]:
    """What was more in the last third of the soak than in the third before; the first third is to warm up."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    found = []
    if _most(last, "resident_mebibytes") > _most(middle, "resident_mebibytes") + 8:
        found.append("memory")
    if _most(last, "open_files") > _most(middle, "open_files") + 10:
        found.append("open files")
    if _least(last, "first_p50") > 1.5 * _most(middle, "first_p50"):
        found.append("latency of the first event")
    if _least(last, "gap_p95") > 1.5 * _most(middle, "gap_p95"):
        found.append("gaps between events")
    return found


def _most(samples: list[Sample], name: str) -> float:
    return max(float(getattr(sample, name)) for sample in samples)


def _least(samples: list[Sample], name: str) -> float:
    return min(float(getattr(sample, name)) for sample in samples)


def _wait(stand_in: StandIn, figures: Figures, until: float) -> None:
    """Tell new figures now and then until the moment has come."""
    while (left := until - time.monotonic()) > 0:
        _tell(stand_in, figures)
        time.sleep(min(left, _TELL_SECONDS))


def _tell(stand_in: StandIn, figures: Figures) -> None:
    events = [item for number in range(DELTAS) for item in (delta(600, number), PAUSE_SECONDS)]
    stand_in.answer(headers=figures.headers(), events=[*events, figures.event(), PAUSE_SECONDS])


def _sample(seconds: float, seen: Gathered, proxy: Proxy, cpu_percent: float, database: Path) -> Sample:
    return Sample(
        minutes=seconds / 60,
        turns=len(seen.firsts),
        broken=seen.broken,
        first_p50=percentile(seen.firsts, 50),
        first_p95=percentile(seen.firsts, 95),
        gap_p95=percentile(seen.gaps, 95),
        resident_mebibytes=resident_bytes(proxy) / _MEBIBYTE,
        open_files=open_files(proxy),
        cpu_percent=cpu_percent,
        database_kibibytes=database.stat().st_size / 1024 if database.exists() else 0.0,
    )
