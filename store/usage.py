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
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from store.standing import RESET_JITTER_SECONDS, SKEW_SECONDS, same_reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


class Sight(NamedTuple):
    """A window over the stretch of time in which every reading said the same of it."""

    first_at: float
    last_at: float
    used_percent: float
    window_minutes: int | None
    resets_at: int | None


class Turn(NamedTuple):
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


class Gap(NamedTuple):
    """The time between two readings, and the points that the window rose by in it.

    It ends before it starts where the clock stepped back.
    """

    start: float
    end: float
    rise: float


class Part(NamedTuple):
    """What one turn has of a rise, in points; no turn is "elsewhere". ``at`` is when the gap ended."""

    turn: Turn | None
    points: float
    at: float


class Weights(NamedTuple):
    """What a token counts for, by its kind."""

    uncached: float
    cached: float
    output: float


FIXED = Weights(1.0, 0.1, 8.0)
"""The ratio of public API prices, which stands until there is enough to fit from."""


_SURPLUS, _ROUNDING_POINTS = 3.0, 1.0
"""A rise beyond so many times what its turns' tokens cost, and what rounding can have held back, is not theirs."""

JUST_BEGUN_SECONDS = 5.0
"""A reading so soon after an answer began came with that answer, and does not count it."""


class Fit(NamedTuple):
    """A model's weights, in units of `FIXED` of the account's average turn, and how many rises they come from."""

    weights: Weights
    rises: int


# Rises


def gaps(sights: Iterable[Sight]) -> list[Gap]:
    """Answer "when did the window rise, and by how much?"; a window seen for the first time has no rise."""
    return [Gap(before.last_at, after.first_at, rise(before, after)) for before, after in pairwise(sights)]


def rise(before: Sight, after: Sight) -> float:
    """Return the points that were used between two sights; after a reset that is all that the new one shows.

    A reset is never a negative use. Neither is a figure that fell while the reset stayed: the server put it right.
    """
    used = after.used_percent
    if used < before.used_percent:
        return 0.0 if same_reset(before.resets_at, after.resets_at) else used
    return used if _began_anew(before, after) else used - before.used_percent


def _began_anew(before: Sight, after: Sight) -> bool:
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


def points_within(gap: Gap, since: float, until: float) -> float:
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


def parts(
    found: Sequence[Gap],
    turns: Sequence[Turn],
    weights: Mapping[str | None, Weights],
    since: float,
    until: float,
    *,
    rate: float | None = None,
) -> Iterator[Part]:
    """Answer "whose are the rises of the period?"; the parts of a rise add up to what of it is in the period.

    `turns` are sorted by their end. `rate` is what `points_per_token` tells; without it a rise of any size is that of
    the turns in its gap. A turn that ended before the period has its part of a rise across the period's start.
    """
    ends = [turn.ended_at for turn in turns]
    unclaimed = []
    for gap in found:
        points = points_within(gap, since, until)
        if not points:
            continue
        ended = turns[bisect.bisect_right(ends, gap.start) : bisect.bisect_right(ends, gap.end)]
        shares = _shares(ended, weights)
        if shares:
            yield from _divided(gap, points, shares, _most(ended, weights, rate))
        else:
            unclaimed.append((gap, points))
    unclaimed.sort(key=lambda each: each[0].end)
    running = _running((gap.end for gap, _ in unclaimed), turns)
    for (gap, points), among in zip(unclaimed, running, strict=True):
        yield from _divided(gap, points, _shares(among, weights), _most(among, weights, rate))


def _divided(gap: Gap, points: float, shares: Sequence[tuple[Turn, float]], most: float) -> Iterator[Part]:
    """Divide points of a rise among turns, which have no more of it than `most`; the rest was used elsewhere."""
    ours = (points * min(1.0, most / gap.rise)) if shares else 0.0
    for turn, share in shares:
        yield Part(turn, ours * share, gap.end)
    if ours < points:
        yield Part(None, points - ours, gap.end)


def _most(turns: Sequence[Turn], weights: Mapping[str | None, Weights], rate: float | None) -> float:
    """Return the most points that turns can have used; any number where that is not known."""
    told = [weigh(turn, weights) for turn in turns]
    if rate is None or None in told:
        return math.inf
    return _SURPLUS * rate * math.fsum(weight or 0.0 for weight in told) + _ROUNDING_POINTS


def _running(moments: Iterable[float], turns: Sequence[Turn]) -> Iterator[list[Turn]]:
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


def _shares(turns: Sequence[Turn], weights: Mapping[str | None, Weights]) -> list[tuple[Turn, float]]:
    """Return the turns that weigh something, and the share of each; a turn cut off weighs as the mean of the others."""
    weighed = [(turn, weight) for turn in turns if (weight := weigh(turn, weights)) != 0]
    told = [weight for _, weight in weighed if weight is not None]
    mean = math.fsum(told) / len(told) if told else 1.0
    filled = [(turn, mean if weight is None else weight) for turn, weight in weighed]
    total = math.fsum(weight for _, weight in filled)
    return [(turn, weight / total) for turn, weight in filled]


def weigh(turn: Turn, weights: Mapping[str | None, Weights]) -> float | None:
    """Return what a turn's tokens weigh: None where they were never told, 0 where it was refused or only a warm-up."""
    kinds = _kinds(turn)
    if not kinds:
        return kinds if kinds is None else 0.0
    of = weights.get(turn.model, FIXED)
    return kinds[0] * of[0] + kinds[1] * of[1] + kinds[2] * of[2]


def _kinds(turn: Turn) -> tuple[int, ...] | None:
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

BLOCK_POINTS = 3.0
"""Rises are added up to about so much before they are compared with tokens: most figures come in whole percents."""

LEAST_BLOCKS = 12
"""Fewer of them say nothing."""

_SHRINKAGE = 2.0
"""How much the fixed weights count against what was seen, in square points."""

_LEAST_MULTIPLE = 0.01
"""No token is for nothing."""

_ROUNDS = 200


class Span(NamedTuple):
    """The time from one change of a window to the next: the points it rose by, and all tokens that were told in it.

    ``tokens`` are those of each model, by the kinds of `Weights`.
    """

    points: float
    tokens: dict[str | None, list[int]]


class _Block(NamedTuple):
    """Spans that were added up: their points, their tokens as `FIXED` weighs them by their kinds, their rises."""

    points: float
    tokens: list[float]
    rises: int


def spans(found: Sequence[Gap], turns: Sequence[Turn]) -> list[Span]:
    """Return what there is to learn from: the newest spans whose turns all told their tokens, and in which any ran.

    A turn that ended while the figure stood still is part of the next rise here. `turns` are sorted by their end.
    """
    found, turns = found[-FIT_GAPS:], turns[-FIT_TURNS:]
    ends = [turn.ended_at for turn in turns]
    known_from = ends[0] if len(turns) == FIT_TURNS else -math.inf
    learnt = []
    for before, gap in pairwise(found):
        if before.end < known_from:
            continue
        among = turns[bisect.bisect_right(ends, before.end) : bisect.bisect_right(ends, gap.end)]
        tokens = _told_tokens(among)
        if tokens:
            learnt.append(Span(gap.rise, tokens))
    return learnt


def _told_tokens(turns: Sequence[Turn]) -> dict[str | None, list[int]]:
    """Return the tokens of turns by model and kind; none where one was cut off, and nobody knows what it took."""
    found: dict[str | None, list[int]] = {}
    for turn in turns:
        kinds = _kinds(turn)
        if kinds is None:
            return {}
        if any(kinds):
            sums = found.setdefault(turn.model, [0, 0, 0])
            for i, number in enumerate(kinds):
                sums[i] += number
    return found


def fitted(learnt: Sequence[Span]) -> dict[str | None, Fit]:
    """Answer "what does a token of each model weigh?", for the models that enough is known of.

    Least squares over sums of spans in which that model ran alone, with no weight negative, drawn towards `FIXED`.
    """
    points = math.fsum(span.points for span in learnt)
    tokens = math.fsum(_weighed(span, {}) for span in learnt)
    if not points:
        return {}
    rate = points / tokens
    by_model: dict[str | None, list[_Block]] = {}
    for span in learnt:
        if len(span.tokens) == 1:
            ((model, kinds),) = span.tokens.items()
            fixed = [number * weight for number, weight in zip(kinds, FIXED, strict=True)]
            by_model.setdefault(model, []).append(_Block(span.points, fixed, int(span.points > 0)))
    # A sum ends when enough was done, not when enough was used: else what is to be explained would be given.
    summed = {
        model: _summed(alone, lambda block: sum(block.tokens) * rate >= BLOCK_POINTS)
        for model, alone in by_model.items()
    }
    return {model: _fit(blocks, rate) for model, blocks in summed.items() if len(blocks) >= LEAST_BLOCKS}


def points_per_token(learnt: Sequence[Span], weights: Mapping[str | None, Weights]) -> float | None:
    """Answer "what does a weighed token cost?", in points of the window; None until enough is known.

    It is the middle one of many sums of rises, so that what was used elsewhere now and then does not change it.
    """
    weighed = [_Block(span.points, [_weighed(span, weights)], int(span.points > 0)) for span in learnt]
    blocks = _summed(weighed, lambda block: block.points >= BLOCK_POINTS)
    return (
        statistics.median(block.points / block.tokens[0] for block in blocks) if len(blocks) >= LEAST_BLOCKS else None
    )


def _weighed(span: Span, weights: Mapping[str | None, Weights]) -> float:
    return math.fsum(
        number * weight
        for model, kinds in span.tokens.items()
        for number, weight in zip(kinds, weights.get(model, FIXED), strict=True)
    )


def _summed(each: Sequence[_Block], enough: Callable[[_Block], bool]) -> list[_Block]:
    """Add up to blocks that are large enough; what is left at the end is none."""
    blocks = []
    current: _Block | None = None
    for one in each:
        current = one if current is None else _added(current, one)
        if enough(current):
            blocks.append(current)
            current = None
    return blocks


def _added(one: _Block, more: _Block) -> _Block:
    tokens = [a + b for a, b in zip(one.tokens, more.tokens, strict=True)]
    return _Block(one.points + more.points, tokens, one.rises + more.rises)


def _fit(blocks: Sequence[_Block], rate: float) -> Fit:
    """Find the multiples of the fixed weights that explain the blocks best, by going down one axis at a time."""
    rows = [[kind * rate for kind in block.tokens] for block in blocks]
    kinds = range(len(FIXED))
    squares = [
        [math.fsum(row[i] * row[j] for row in rows) + (_SHRINKAGE if i == j else 0.0) for j in kinds] for i in kinds
    ]
    seen = [
        math.fsum(row[i] * block.points for row, block in zip(rows, blocks, strict=True)) + _SHRINKAGE for i in kinds
    ]
    multiples = [1.0, 1.0, 1.0]
    for _ in range(_ROUNDS):
        for i in kinds:
            rest = seen[i] - sum(squares[i][j] * multiples[j] for j in kinds if j != i)
            multiples[i] = max(_LEAST_MULTIPLE, rest / squares[i][i])
    weights = Weights(*(fixed * multiple for fixed, multiple in zip(FIXED, multiples, strict=True)))
    return Fit(weights, sum(block.rises for block in blocks))
