"""What used a window: pure functions over its readings and over the turns that ran between them.

Two readings that follow each other leave a **gap**: from the last time the one was seen to the first time the other
was. What the used percent rose by in it (its **rise**, in points of the window) belongs to the turns that ended in the
gap, else to those under way at its end, shared by their weighed tokens. A reading that comes with the start of an
answer does not count that turn yet: one whose answer had only just begun is not held to be under way. With no such turn
it was **used elsewhere**: on another machine, on the web, or past the tap. So was what goes far beyond what the turns'
tokens explain, once it is known what a token of the account costs (`points_per_token`).

A turn's tokens are weighed as `Weights` say, for each model. They are `FIXED` until an account's own history holds
enough rises that turns of one model alone explain (`fitted`). Moments are Unix seconds; readings come in the order of
their arrival, and no order of their clock is relied on.
"""

from __future__ import annotations

import bisect
import heapq
import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.limit_status import same_reset
from store.constants import RESET_JITTER_SECONDS, SKEW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class WindowSample(NamedTuple):
    """A window over the stretch of time in which every reading said the same of it."""

    first_at: float
    last_at: float
    used_percent: float
    window_minutes: int | None
    resets_at: int | None


class TurnUse(NamedTuple):
    """One turn of Codex: cached tokens are a part of the input, reasoning ones of the output; None where not told."""

    started_at: float
    first_byte_at: float | None
    ended_at: float
    thread: str | None
    model: str | None
    warm_up: int
    status: int | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


class Interval(NamedTuple):
    """The time between two readings, and the points that the window rose by in it.

    It ends before it starts where the clock stepped back.
    """

    start: float
    end: float
    rise: float


class Attribution(NamedTuple):
    """What one turn has of a rise, in points; no turn is "elsewhere". ``at`` is when the gap ended."""

    turn: TurnUse | None
    points: float
    at: float


class Weights(NamedTuple):
    """What a token counts for, by its kind."""

    uncached: float
    cached: float
    output: float


DEFAULT_WEIGHTS = Weights(1.0, 0.1, 8.0)
"""The ratio of public API prices, which stands until there is enough to fit from."""


_SURPLUS, _ROUNDING_POINTS = 3.0, 1.0
"""A rise beyond so many times what its turns' tokens cost, and what rounding can have held back, is not theirs."""

JUST_BEGUN_SECONDS = 5.0
"""A reading so soon after an answer began came with that answer, and does not count it."""


# Rises


def intervals(sights: Iterable[WindowSample]) -> list[Interval]:
    """Answer "when did the window rise, and by how much?"; a window seen for the first time has no rise."""
    return [Interval(before.last_at, after.first_at, increase(before, after)) for before, after in pairwise(sights)]


def increase(before: WindowSample, after: WindowSample) -> float:
    """Return the points that were used between two sights; after a reset that is all that the new one shows.

    A reset is never a negative use. Neither is a figure that fell while the reset stayed: the server put it right.
    """
    used = after.used_percent
    if used < before.used_percent:
        return 0.0 if same_reset(before.resets_at, after.resets_at) else used
    return used if _is_reset(before, after) else used - before.used_percent


def _is_reset(before: WindowSample, after: WindowSample) -> bool:
    """Tell whether a window whose figure did not fall was reset all the same.

    Its reset moved on, and it either had passed, or the window that it is the end of began after the earlier sight.
    Where that window had begun before, its end was only put off, and what was used stays used.
    """
    if before.resets_at is None or after.resets_at is None:
        return False
    if after.resets_at - before.resets_at <= RESET_JITTER_SECONDS:
        return False
    if after.window_minutes is None or before.resets_at <= after.first_at:
        return True
    return after.resets_at - after.window_minutes * 60 >= before.last_at - SKEW_SECONDS


def points_in_range(gap: Interval, since: float, until: float) -> float:
    """Return what of a rise belongs to the period: by the time that its gap shares with it.

    A gap of no length belongs to the period that its end is in.
    """
    if gap.end <= gap.start:
        return gap.rise if since < gap.end <= until else 0.0
    if since <= gap.start and gap.end <= until:
        return gap.rise
    shared = min(gap.end, until) - max(gap.start, since)
    return gap.rise * max(0.0, shared) / (gap.end - gap.start)


# Who used it


def attribute(
    found: Sequence[Interval],
    turns: Sequence[TurnUse],
    weights: Mapping[str | None, Weights],
    since: float,
    until: float,
    *,
    rate: float | None = None,
) -> Iterator[Attribution]:
    """Answer "whose are the rises of the period?"; the parts of a rise add up to what of it is in the period.

    `turns` are sorted by their end. `rate` is what `points_per_token` tells; without it a rise of any size is that of
    the turns in its gap. A turn that ended before the period has its part of a rise across the period's start.
    """
    ends = [turn.ended_at for turn in turns]
    unclaimed = []
    for gap in found:
        points = points_in_range(gap, since, until)
        if not points:
            continue
        ended = turns[bisect.bisect_right(ends, gap.start) : bisect.bisect_right(ends, gap.end)]
        shares = _shares(ended, weights)
        if shares:
            yield from _divided(gap, points, shares, _max_points(ended, weights, rate))
        else:
            unclaimed.append((gap, points))
    unclaimed.sort(key=lambda each: each[0].end)
    running = _running((gap.end for gap, _ in unclaimed), turns)
    for (gap, points), among in zip(unclaimed, running, strict=True):
        yield from _divided(gap, points, _shares(among, weights), _max_points(among, weights, rate))


def _divided(
    gap: Interval, points: float, shares: Sequence[tuple[TurnUse, float]], most: float
) -> Iterator[Attribution]:
    """Divide points of a rise among turns, which have no more of it than `most`; the rest was used elsewhere."""
    ours = (points * min(1.0, most / gap.rise)) if shares else 0.0
    for turn, share in shares:
        yield Attribution(turn, ours * share, gap.end)
    if ours < points:
        yield Attribution(None, points - ours, gap.end)


def _max_points(turns: Sequence[TurnUse], weights: Mapping[str | None, Weights], rate: float | None) -> float:
    """Return the most points that turns can have used; any number where that is not known."""
    told = [token_weight(turn, weights) for turn in turns]
    if rate is None or None in told:
        return math.inf
    return _SURPLUS * rate * math.fsum(weight or 0.0 for weight in told) + _ROUNDING_POINTS


def _running(moments: Iterable[float], turns: Sequence[TurnUse]) -> Iterator[list[TurnUse]]:
    """Yield the turns that were under way at each of the moments, which are sorted."""
    begun = sorted((turn.first_byte_at, i) for i, turn in enumerate(turns) if turn.first_byte_at is not None)
    position = 0
    under_way: list[tuple[float, int]] = []
    for moment in moments:
        while position < len(begun) and begun[position][0] <= moment - JUST_BEGUN_SECONDS:
            index = begun[position][1]
            heapq.heappush(under_way, (turns[index].ended_at, index))
            position += 1
        while under_way and under_way[0][0] < moment:
            heapq.heappop(under_way)
        yield [turns[index] for _, index in under_way]


def _shares(turns: Sequence[TurnUse], weights: Mapping[str | None, Weights]) -> list[tuple[TurnUse, float]]:
    """Return the turns that weigh something, and the share of each; a turn cut off weighs as the mean of the others."""
    weighed = [(turn, weight) for turn in turns if (weight := token_weight(turn, weights)) != 0]
    told = [weight for _, weight in weighed if weight is not None]
    mean = math.fsum(told) / len(told) if told else 1.0
    filled = [(turn, mean if weight is None else weight) for turn, weight in weighed]
    total = math.fsum(weight for _, weight in filled)
    return [(turn, weight / total) for turn, weight in filled]


def token_weight(turn: TurnUse, weights: Mapping[str | None, Weights]) -> float | None:
    """Return what a turn's tokens weigh: None where they were never told, 0 where it was refused or only a warm-up."""
    kinds = token_counts(turn)
    if not kinds:
        return kinds if kinds is None else 0.0
    of = weights.get(turn.model, DEFAULT_WEIGHTS)
    return kinds[0] * of[0] + kinds[1] * of[1] + kinds[2] * of[2]


def token_counts(turn: TurnUse) -> tuple[int, ...] | None:
    """Return a turn's tokens by the kinds of `Weights`: None where never told, empty where none were taken at all."""
    _, _, _, _, _, warm_up, status, whole, cached, output, _ = turn
    if status is not None and status >= 400:
        return ()
    if whole is None and output is None:
        return () if warm_up else None
    whole = whole or 0
    cached = min(cached or 0, whole)
    return whole - cached, cached, output or 0


# What a token weighs

FIT_GAPS, FIT_TURNS = 1_500, 3_000
"""The newest of an account's history that weights are fitted from: more of it costs time and says little."""
