"""How long the server takes to answer on a year of history: computed anew, again, and against an almost new file.

Computed anew: since the answer before, one account has a further turn, and each of its limits a further snapshot. Both
databases have as many accounts. Each has a server of its own, a program, which is asked over one connection.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from store.kept.storage import delete_kept
from tests.bench.figures import Spread, in_turns
from tests.bench.heavy import beside_heavy
from tests.bench.served import ANSWER_MILLISECONDS, serve
from tests.bench.table import Row, bounded_row
from tests.support.synthetic_history import Size as Rows
from tests.support.synthetic_history import generate

if TYPE_CHECKING:
    from tests.bench.served import Served
    from tests.bench.sizes import Size
    from tests.bench.year import Year

SHORT = Rows(snapshots=1_000, turns=2_000)
RATIO = 1.5
PRESENT_PER_ROUND = 5
"""Answers about the present, which take some milliseconds, for one of the others."""

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
            "breakdown?by=hour&",
            "breakdown?by=project&",
            "breakdown?by=model&",
            "events?",
        )
        for period in ("24h", "7d", "30d", "365d")
    ),
)
"""Every other question of the page, over each period."""


def answers(size: Size, year: Year) -> list[Row]:
    """Milliseconds of an answer, and how long the first count of turns and the filling of what is kept take."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "short.sqlite3"
        stack.callback(delete_kept, path)
        generate(path, SHORT._replace(accounts=year.accounts), time.time())
        short, long = (stack.enter_context(serve(each)) for each in (path, year.path))
        counted = long.wait_for_counts()
        short.wait_for_counts()
        long.wait_for_filling()
        return [
            # First what reads the rows of the last day: each answer that is computed anew adds to them.
            *(_anew_and_again(asked, long, size.long_rounds) for asked in (*PAST[:: size.question_step], *ALIKE)),
            *(_alike(asked, short, long, size.long_rounds * PRESENT_PER_ROUND) for asked in ALIKE),
            *beside_heavy(long, size),
            Row("first count of all turns", "s", Spread.exactly(counted)),
            *_filling(year.filling_seconds),
        ]


def _alike(asked: str, short: Served, long: Served, count: int) -> Row:
    """Compare answers on the two histories, all of them computed anew."""
    short.ask(asked)
    long.ask(asked)
    pairs = in_turns(count, lambda: short.ask_anew(asked), lambda: long.ask_anew(asked))
    return bounded_row(f"GET {asked} (bare: {SHORT.snapshots:,} snapshots)", pairs, RATIO)


def _anew_and_again(asked: str, long: Served, count: int) -> Row:
    """Compare an answer that is computed anew with the one to the same question when nothing has changed since."""
    long.ask(asked)
    pairs = in_turns(count, lambda: long.ask(asked), lambda: long.ask_anew(asked))
    again, anew = Spread.of(pairs.bare), Spread.of(pairs.tap)
    return Row(
        f"GET {asked}, anew (bare: again)",
        "ms",
        anew,
        again,
        pairs.differences(),
        pairs.ratios(),
        target=f"both below {ANSWER_MILLISECONDS:,.0f} ms",
        met=max(anew.median, again.median) < ANSWER_MILLISECONDS,
    )


def _filling(seconds: float | None) -> list[Row]:
    return [] if seconds is None else [Row("filling what is kept", "s", Spread.exactly(seconds))]
