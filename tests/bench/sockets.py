"""Websocket messages: CPU of the whole proxy, time inside the tap's hook, and memory."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.answers import at, paired
from tests.bench.figures import Spread
from tests.bench.programs import TIMING, StandIn, cpu_seconds, resident_bytes, tap
from tests.bench.sides import Side, both, in_rounds
from tests.bench.table import Row
from tests.bench.traffic import Figures, client, deltas, make_token

if TYPE_CHECKING:
    from scripts.demo.client import CodexClient
    from tests.bench.sizes import Size

SMALL_BYTES = 600
LARGE_BYTES = 100_000
EVERY = 200
"""One message of so many tells of limits."""

TURNS = 20
"""Over which the messages of a memory measure are spread, on one socket."""

_MEBIBYTE = 1024 * 1024
_SETTLE_SECONDS = 0.15
_CLOSE_SECONDS = 0.5


def cpu(size: Size) -> list[Row]:
    """CPU of mitmdump per text delta of 600 bytes."""

    def measure(side: Side) -> float:
        before = cpu_seconds(side.proxy)
        _turn(side.stand_in, side.client, side.figures, size.messages, SMALL_BYTES)
        time.sleep(_SETTLE_SECONDS)
        return (cpu_seconds(side.proxy) - before) / size.messages * 1e6

    with tempfile.TemporaryDirectory() as folder, StandIn() as stand_in:
        pairs = in_rounds(
            max(1, size.rounds // 2),
            size.segments,
            lambda number: both(stand_in, Path(folder), f"messages-{number}", answers=1_000),
            measure,
        )
    return [paired("CPU per websocket message", "µs", pairs)]


def hook(size: Size) -> list[Row]:
    """Time in the tap's hook on messages that tell of no limits, and in a hook that does nothing, on the same ones."""
    with tempfile.TemporaryDirectory() as folder, StandIn() as stand_in:
        times = Path(folder) / "times.json"
        with tap(stand_in, Path(folder) / "hook.sqlite3", TIMING, CODEX_TAP_BENCH_TIMES=str(times)) as proxy:
            figures = Figures(1_000)
            per_turn = min(1_000, size.timed_messages)
            with client(proxy, stand_in, token=make_token()) as asking:
                for _ in range(size.timed_messages // per_turn):
                    _turn(stand_in, asking, figures, per_turn, SMALL_BYTES)
            proxy.stop()
        found = {name: [figure / 1_000 for figure in took] for name, took in json.loads(times.read_bytes()).items()}
    difference = statistics.median(found["others"]) - statistics.median(found["null"])
    return [
        Row(
            "hook per message, p50 (bare: an empty hook)",
            "µs",
            Spread.of(found["others"]),
            Spread.of(found["null"]),
            Spread.exactly(difference),
            target="at most +5 µs",
            met=difference <= 5,
        ),
        at("hook per message, p99", found["others"], 99),
        Row("hook per message of limits, p50", "µs", Spread.of(found["told"])),
    ]


def memory(size: Size) -> list[Row]:
    """Growth of what the proxies hold in RAM, over messages of one socket."""
    rows = []
    for count, length in ((size.small_messages, SMALL_BYTES), (size.large_messages, LARGE_BYTES)):
        with (
            tempfile.TemporaryDirectory() as folder,
            StandIn() as stand_in,
            both(stand_in, Path(folder), "memory", answers=1_000) as sides,
        ):
            bare, tapped = (_growth(side, count, length) for side in sides)
        grown = f"memory, {count:,} messages of {length:,} B"
        met = max(tapped) < 8 * _MEBIBYTE
        rows += [
            _grown(grown, bare[0], tapped[0], target="below 8 MiB", met=met),
            _grown(f"{grown}, after the close", bare[1], tapped[1]),
        ]
    return rows


def _growth(side: Side, count: int, length: int) -> tuple[int, int]:
    """The most that memory grew by from the first turn to the last, and what it had grown by after the close; bytes."""
    per_turn = max(1, count // TURNS)

    def turn() -> int:
        _turn(side.stand_in, side.client, side.figures, per_turn, length)
        return resident_bytes(side.proxy)

    begin = turn()
    most = max(turn() for _ in range(count // per_turn))
    side.client.close()
    time.sleep(_CLOSE_SECONDS)
    return most - begin, resident_bytes(side.proxy) - begin


def _grown(name: str, bare: int, tapped: int, *, target: str = "", met: bool | None = None) -> Row:
    bare_spread, tap_spread = (Spread.exactly(figure / _MEBIBYTE) for figure in (bare, tapped))
    return Row(name, "MiB", tap_spread, bare_spread, target=target, met=met)


def _turn(stand_in: StandIn, asking: CodexClient, figures: Figures, count: int, length: int) -> None:
    """One turn of so many messages over the websocket."""
    stand_in.answer(headers=figures.headers(), events=deltas(count, length, figures, EVERY))
    reply = asking.websocket_turn("say ok")
    if len(reply.events) < count:
        raise RuntimeError(f"{len(reply.events)} of {count} messages came")
