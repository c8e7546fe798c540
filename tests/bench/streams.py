"""Streamed answers at the client: when the first event comes, and how far apart the others are."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import Pairs, Spread, percentile
from tests.bench.programs import StandIn
from tests.bench.sides import Side, both
from tests.bench.table import Row
from tests.bench.traffic import delta

if TYPE_CHECKING:
    from tests.bench.sizes import Size

EVENTS = 20
APART_SECONDS = 0.005
UNNOTICED_MILLISECONDS = 0.1


def arrival(size: Size) -> list[Row]:
    """Milliseconds until the first event and between events, over HTTP/2 as Codex asks: p50 and p95 of a segment."""
    found = {name: Pairs([], []) for name in _NAMES}
    with (
        tempfile.TemporaryDirectory() as folder,
        StandIn(http2=True) as stand_in,
        both(stand_in, Path(folder), "streams", answers=1_000, http2=True) as (bare, tap),
    ):
        _segment(bare, size.streams)
        _segment(tap, size.streams)
        for number in range(size.stream_segments):
            order = (bare, tap) if number % 2 == 0 else (tap, bare)
            for side in order:
                for name, figure in zip(_NAMES, _segment(side, size.streams), strict=True):
                    (found[name].bare if side is bare else found[name].tap).append(figure)
    return [_row(name, pairs) for name, pairs in found.items()]


_NAMES = ("first SSE event, p50", "first SSE event, p95", "gap between SSE events, p50", "gap between SSE events, p95")


def _segment(side: Side, turns: int) -> tuple[float, float, float, float]:
    """p50 and p95 of the first event, p50 and p95 of the gaps, in milliseconds."""
    events = [item for number in range(EVENTS - 2) for item in (delta(200, number), APART_SECONDS)]
    side.stand_in.answer(headers=side.figures.headers(), events=[*events, side.figures.event(), APART_SECONDS])
    firsts: list[float] = []
    gaps: list[float] = []
    for _ in range(turns):
        # Cancelled at the end of the turn, as Codex does.
        reply = side.client.http_turn("say ok", cancel=True)
        arrivals = [event.seconds * 1_000 for event in reply.events]
        firsts.append(arrivals[0])
        # The second event and the last one come without a pause before them.
        gaps += [later - earlier for earlier, later in pairwise(arrivals[1:-1])]
    return percentile(firsts, 50), percentile(firsts, 95), percentile(gaps, 50), percentile(gaps, 95)


def _row(name: str, pairs: Pairs) -> Row:
    """Met where the difference is no more than bare's own spread from segment to segment, or nobody could notice."""
    difference, bare = pairs.differences(), Spread.of(pairs.bare)
    return Row(
        name,
        "ms",
        Spread.of(pairs.tap),
        bare,
        difference,
        pairs.ratios(),
        target="within bare's own spread",
        met=difference.median <= max(bare.high - bare.low, UNNOTICED_MILLISECONDS),
    )
