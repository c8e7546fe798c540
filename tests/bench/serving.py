"""How long the server takes to answer on years of history, against an almost new file.

Both databases have the same twenty accounts, their limits and tokens. Each has a server of its own, a program, which is
asked over one connection; the two in turns.
"""

from __future__ import annotations

import http.client
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from store.kept.filling import Wish, fill
from store.kept.storage import delete_kept
from store.queries.kept_kinds import KINDS
from tests.bench.figures import Spread, in_turns
from tests.bench.table import Row, say
from tests.support.harness import wait_until
from tests.support.synthetic_history import Size as Rows
from tests.support.synthetic_history import generate
from tests.support.web_server import Program

if TYPE_CHECKING:
    from tests.bench.sizes import Size

ACCOUNTS = 20
SHORT = Rows(snapshots=1_000, turns=2_000, accounts=ACCOUNTS)
RATIO = 1.5
ASKED_AT_ONCE = 5
COUNT_SECONDS = 300

ALIKE = ("/api/usage", "/metrics", "/health", "/codex/usage")
"""What tells of the present: the length of the history must not matter."""

PAST = (
    "/api/requests",
    "/api/forecast",
    "/api/overview",
    "/api/next",
    *(
        f"/api/{asked}since={period}"
        for asked in (
            "history?points=300&",
            "history?",
            "peaks?",
            "speed?by=model&",
            "speed?by=day&",
            "speed?by=hour&",
            "breakdown?by=thread&tree=true&",
            "breakdown?by=day&",
            "events?",
        )
        for period in ("24h", "7d", "30d", "365d")
    ),
)
"""Every other question of the page, over each period."""

MILLISECONDS = 150.0
"""What an answer may take, whatever it is about."""


def answers(size: Size) -> list[Row]:
    """Milliseconds of an answer on the long history, and on the short one where others have bare mitmdump."""
    long_rows = Rows(snapshots=size.long_snapshots, turns=size.long_turns, accounts=ACCOUNTS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        now, begin = time.time(), time.monotonic()
        paths = [folder / "short.sqlite3", folder / "long.sqlite3"]
        for path, rows in zip(paths, (SHORT, long_rows), strict=True):
            generate(path, rows, now, progress=rows is long_rows)
        say(f"serving: made {size.long_snapshots:,} snapshots in {time.monotonic() - begin:.0f} s")
        for path in paths:
            stack.callback(delete_kept, path)
        begin = time.monotonic()
        fill(paths[1], [Wish(kind) for kind in KINDS], now)
        filled = time.monotonic() - begin
        short, long = (stack.enter_context(Program("--db", path)).port for path in paths)
        begin = time.monotonic()
        for port in (short, long):
            _wait_for_counts(port)
        counted = time.monotonic() - begin
        return [
            *(
                _row(asked, short, long, size.prompts, alike=asked in ALIKE)
                for asked in (*ALIKE, *PAST[:: size.question_step])
            ),
            Row("first count of all turns", "s", Spread.exactly(counted)),
            Row("filling what is kept", "s", Spread.exactly(filled)),
        ]


def _row(asked: str, short: int, long: int, count: int, *, alike: bool) -> Row:
    for port in (short, long):
        _milliseconds(port, asked)
    pairs = in_turns(count, lambda: _milliseconds(short, asked), lambda: _milliseconds(long, asked))
    ratios, took = pairs.ratios(), Spread.of(pairs.tap)
    target, met = f"below {MILLISECONDS:,.0f} ms", took.median < MILLISECONDS
    if alike:
        target, met = f"at most {RATIO:g} times", ratios.median <= RATIO
    return Row(
        f"GET {asked} (bare: {SHORT.snapshots:,} snapshots)",
        "ms",
        took,
        Spread.of(pairs.bare),
        pairs.differences(),
        ratios,
        target=target,
        met=met,
    )


def _milliseconds(port: int, asked: str) -> float:
    """Ask a few times and return how long one answer took."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.connect()
        begin = time.perf_counter()
        for _ in range(ASKED_AT_ONCE):
            connection.request("GET", asked)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{asked}: {answer.status}")
        return (time.perf_counter() - begin) * 1_000 / ASKED_AT_ONCE


def _wait_for_counts(port: int) -> None:
    """Wait until the turns have been counted for the first time."""

    def counted() -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", "/metrics")
            return b"codex_tap_turns_total" in connection.getresponse().read()

    wait_until(counted, lambda: "the turns are never counted", seconds=COUNT_SECONDS)
