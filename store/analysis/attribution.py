"""Attribution of the use of a window to turns: pure functions over its readings and its turns.

Two consecutive readings bound an **interval**: from the last time that the earlier one was seen to the first time that
the later one was seen. The **increase** of the used percent in it (in points of the window) belongs to the turns that
ended in the interval, else to the turns in progress at its end, in proportion to their weighted tokens. A reading that
comes with the start of a response does not count that turn yet, so a turn whose response has only just begun does not
count as in progress. An increase without such a turn was **used elsewhere**: on another machine, on the web, or past
the tap. So was the part that far exceeds what the turns' tokens explain, once the cost of a token of the account is
known (`points_per_token`), unless another turn was in progress.

A turn is stored when it ends, so an increase without a turn is **pending** for as long as a turn may last
(`MAX_TURN_SECONDS`): what a turn explains by then was never reported as used elsewhere.

Tokens are weighted by `Weights`, for each model. These are `DEFAULT_WEIGHTS` until the account's own history has enough
increases that turns of a single model explain (`fit_weights`). Timestamps are Unix seconds; readings are in the order
of arrival, and nothing relies on the order of their timestamps.
"""

from __future__ import annotations

import bisect
import heapq
import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.prices import CACHE_WRITE_PRICE, TOKEN_PRICES, tier_price
from store.transitions import WindowReading, transition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class WindowSample(NamedTuple):
    """A window from `first_at` to `last_at`, while every reading reported the same values."""

    first_at: float
    last_at: float
    used_percent: float
    window_minutes: int | None
    resets_at: int | None


class TurnUse(NamedTuple):
    """One turn of Codex; None is unknown.

    Cached and cache-write tokens are part of the input, reasoning tokens part of the output. ``tier`` is the requested
    service tier: ``priority`` in Fast mode. ``subagent`` is the kind of sub-agent, ``parent_thread`` the thread that
    started it. ``response_model`` is the model that responded where that is another one than the requested ``model``.
    ``imported`` is 1 for a turn of a session file that the tap did not see. ``machine`` is the name of the machine that
    shipped it to a team's database; None in a file.
    """

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
    cache_write_tokens: int | None = None
    tier: str | None = None
    session: str | None = None
    parent_thread: str | None = None
    subagent: str | None = None
    reasoning_effort: str | None = None
    client: str | None = None
    response_model: str | None = None
    imported: int = 0
    machine: str | None = None


class Interval(NamedTuple):
    """The time between two readings, and the points that were used in it.

    It ends before it starts where the clock was set back.
    """

    start: float
    end: float
    increase: float


class Attribution(NamedTuple):
    """One turn's part of an increase, in points; None is "elsewhere". ``at`` is the end of the interval."""

    turn: TurnUse | None
    points: float
    at: float


class Weights(NamedTuple):
    """The weight of a token, by its kind."""

    uncached: float
    cached: float
    output: float


DEFAULT_WEIGHTS = Weights(*TOKEN_PRICES)
"""The ratio of public prices, used until there is enough history to fit weights."""

MAX_TURN_SECONDS = 3_600
"""The longest life of a socket, and so of a turn. A turn is stored when it ends."""

MAX_RUNNING_SECONDS = 25 * 3_600
"""A turn explains increases while it is under way if it ends at most so much later: none lasts longer."""

_SURPLUS, _ROUNDING_POINTS = 3.0, 1.0
"""Turns explain at most this many times the cost of their tokens, and the points that rounding can have held back."""

JUST_BEGUN_SECONDS = 5.0
"""A reading this soon after a response began came with that response, and does not count it."""


# Increases


def intervals(samples: Iterable[WindowSample], since: float = -math.inf, until: float = math.inf) -> list[Interval]:
    """Return the intervals between samples that end with ``since <= end < until``.

    The first sample of a window has none before it.
    """
    return [
        Interval(before.last_at, after.first_at, increase(before, after))
        for before, after in pairwise(samples)
        if since <= after.first_at < until
    ]


def is_pending(increased_at: float, now: float) -> bool:
    """Return True if a turn that is still under way at `now` may explain an increase that was read at a timestamp."""
    return 0 <= now - increased_at < MAX_TURN_SECONDS


def increase(before: WindowSample, after: WindowSample) -> float:
    """Return the points that were used between two samples; `store.transitions` says how many."""
    _, left_at, was, length, due_at = before
    seen_at, _, used, minutes, resets_at = after
    return transition(
        WindowReading(was, length, due_at, left_at), WindowReading(used, minutes, resets_at, seen_at)
    ).points


def points_in_range(interval: Interval, since: float, until: float) -> float:
    """Return the part of an increase that belongs to a time range: in proportion to the time of its interval in it.

    An interval of no length belongs to the range that contains its end.
    """
    start, end, points = interval
    if end <= start:
        return points if since < end <= until else 0.0
    if since <= start and end <= until:
        return points
    shared = min(end, until) - max(start, since)
    return points * max(0.0, shared) / (end - start)


# Attribution


def attribute(
    found: Sequence[Interval],
    turns: Sequence[TurnUse],
    weights: Mapping[str | None, Weights],
    since: float,
    until: float,
    *,
    rate: float | None = None,
) -> Iterator[Attribution]:
    """Attribute the increases within the time range to turns; the parts of an increase sum to its share of the range.

    What the turns that ended in an interval cannot explain belongs to those in progress at its end, as far as they can.
    `turns` are sorted by their end. `rate` is that of `points_per_token`; without it the turns of an interval explain
    an increase of any size. A turn that ended before the range has its part of an increase across the range's start.
    """
    ends = [turn.ended_at for turn in turns]
    unclaimed = []
    for interval in found:
        points = points_in_range(interval, since, until)
        if not points:
            continue
        ended = turns[bisect.bisect_right(ends, interval.start) : bisect.bisect_right(ends, interval.end)]
        shares = _shares(ended, weights)
        explained = points * _explained_part(interval, ended, weights, rate) if shares else 0.0
        for turn, share in shares:
            yield Attribution(turn, explained * share, interval.end)
        if explained < points:
            unclaimed.append((interval, points, points - explained))
    unclaimed.sort(key=lambda each: each[0].end)
    running = _running((interval.end for interval, _, _ in unclaimed), turns)
    for (interval, points, left), among in zip(unclaimed, running, strict=True):
        shares = _shares(among, weights)
        explained = min(left, points * _explained_part(interval, among, weights, rate)) if shares else 0.0
        for turn, share in shares:
            yield Attribution(turn, explained * share, interval.end)
        if explained < left:
            yield Attribution(None, left - explained, interval.end)


def _explained_part(
    interval: Interval, turns: Sequence[TurnUse], weights: Mapping[str | None, Weights], rate: float | None
) -> float:
    """Return the part of an increase that turns can explain, from 0 to 1."""
    return min(1.0, _max_points(turns, weights, rate) / interval.increase)


def _max_points(turns: Sequence[TurnUse], weights: Mapping[str | None, Weights], rate: float | None) -> float:
    """Return the most points that turns can have used; infinity where that is unknown."""
    found = [token_weight(turn, weights) for turn in turns]
    if rate is None or None in found:
        return math.inf
    return _SURPLUS * rate * math.fsum(weight or 0.0 for weight in found) + _ROUNDING_POINTS


def _running(timestamps: Iterable[float], turns: Sequence[TurnUse]) -> Iterator[list[TurnUse]]:
    """Yield the turns in progress at each of the timestamps, which are sorted."""
    begun = sorted((turn.first_byte_at, i) for i, turn in enumerate(turns) if turn.first_byte_at is not None)
    position = 0
    in_progress: list[tuple[float, int]] = []
    for timestamp in timestamps:
        while position < len(begun) and begun[position][0] <= timestamp - JUST_BEGUN_SECONDS:
            index = begun[position][1]
            heapq.heappush(in_progress, (turns[index].ended_at, index))
            position += 1
        while in_progress and in_progress[0][0] < timestamp:
            heapq.heappop(in_progress)
        yield [turns[index] for ended_at, index in in_progress if ended_at <= timestamp + MAX_RUNNING_SECONDS]


def _shares(turns: Sequence[TurnUse], weights: Mapping[str | None, Weights]) -> list[tuple[TurnUse, float]]:
    """Return the turns with a weight and the share of each; an interrupted turn gets the mean weight of the others."""
    weighted = [(turn, weight) for turn in turns if (weight := token_weight(turn, weights)) != 0]
    known = [weight for _, weight in weighted if weight is not None]
    mean = math.fsum(known) / len(known) if known else 1.0
    filled = [(turn, mean if weight is None else weight) for turn, weight in weighted]
    total = math.fsum(weight for _, weight in filled)
    return [(turn, weight / total) for turn, weight in filled]


def token_weight(turn: TurnUse, weights: Mapping[str | None, Weights]) -> float | None:
    """Return the weight of a turn's tokens: None where they were never reported, 0 for a refused turn or a warm-up."""
    kinds = token_counts(turn)
    if not kinds:
        return kinds if kinds is None else 0.0
    of = weights.get(turn.model, DEFAULT_WEIGHTS)
    return kinds[0] * of[0] + kinds[1] * of[1] + kinds[2] * of[2]


def token_counts(turn: TurnUse) -> tuple[float, ...] | None:
    """Return a turn's tokens by the kinds of `Weights`: None where never reported, empty where it used none.

    A token that is written into the cache, and each one of a turn in Fast mode, counts for as many as it costs.
    """
    # Unpacked: this is called for thousands of turns.
    _, _, _, _, model, warm_up, status, given, cached, output, _, written, tier = turn[:13]
    if status is not None and status >= 400:
        return ()
    if given is None and output is None:
        return () if warm_up else None
    whole = given or 0
    cached = min(cached or 0, whole)
    uncached = float(whole - cached)
    if written:
        uncached += (CACHE_WRITE_PRICE - 1) * min(written, whole - cached)
    price = tier_price(tier, model) if tier else 1.0
    return uncached * price, cached * price, (output or 0) * price


# The fit of weights

FIT_GAPS, FIT_TURNS = 1_500, 3_000
"""The newest intervals and turns that weights are fitted from: more of them cost time and add little."""
