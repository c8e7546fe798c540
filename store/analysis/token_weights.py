"""Token weights fitted to an account's own history."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.attribution import DEFAULT_WEIGHTS, FIT_GAPS, FIT_TURNS, Interval, TurnUse, Weights, token_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Fit(NamedTuple):
    """A model's weights, relative to `DEFAULT_WEIGHTS` of the account's average turn, and the increases behind them."""

    weights: Weights
    increases: int


class Fitted(NamedTuple):
    """The weights of the tokens of each model as an account's history shows them, and the points of such a token.

    ``at`` is when that history ends, in Unix seconds.
    """

    fits: dict[str | None, Fit]
    rate: float | None
    at: float

    @property
    def weights(self) -> dict[str | None, Weights]:
        """The weights by model; a model without its own has `DEFAULT_WEIGHTS`."""
        return {model: fit.weights for model, fit in self.fits.items()}


BLOCK_POINTS = 3.0
"""Increases are summed to about this much before they are compared with tokens: most come in whole percents."""

MIN_BLOCKS = 12
"""The least number of blocks that a fit needs."""

_SHRINKAGE = 2.0
"""The pull of the default weights against the observations, in square points."""

_MIN_MULTIPLE = 0.01
"""The least multiple of a default weight: no token is free."""

_ROUNDS = 200


class FitInterval(NamedTuple):
    """The time from one change of a window to the next: its increase in points, and all tokens reported in it.

    ``tokens`` are those of each model, by the kinds of `Weights`.
    """

    points: float
    tokens: dict[str | None, list[float]]


@dataclass(slots=True)
class _Block:
    """The sum of intervals: points, tokens by kind in units of `DEFAULT_WEIGHTS`, and the number of increases."""

    points: float
    tokens: list[float]
    increases: int

    def add(self, more: _Block) -> None:
        """Add another sum."""
        self.points += more.points
        self.increases += more.increases
        for i, number in enumerate(more.tokens):
            self.tokens[i] += number


FEW_GAPS = FIT_GAPS // 4
"""With fewer intervals than these, weights are fitted anew each day, else each week."""

_DAY, _WEEK = 86_400, 7 * 86_400
_FIRST_MONDAY = 4 * _DAY


def fit_days(at: float) -> tuple[float, float]:
    """Return when the week and the day of a timestamp begin, in UTC: the weights of a time are fitted at one of them.

    So what is attributed to turns stays as it is when more is known. At the beginning of the week it is, where there
    were at least `FEW_GAPS` intervals before.
    """
    return (at - _FIRST_MONDAY) // _WEEK * _WEEK + _FIRST_MONDAY, at // _DAY * _DAY


def fit_history(found: Sequence[Interval], turns: Sequence[TurnUse], at: float) -> Fitted:
    """Return what an account's history up to a timestamp shows; `turns` are sorted by their end."""
    learnt = fit_intervals(found, turns)
    fits = fit_weights(learnt)
    return Fitted(fits, points_per_token(learnt, {model: fit.weights for model, fit in fits.items()}), at)


def fit_intervals(found: Sequence[Interval], turns: Sequence[TurnUse]) -> list[FitInterval]:
    """Return the newest intervals that had turns and the tokens of all of them: those that weights are fitted from.

    A turn that ended while the percentage stood still is part of the next increase here. `turns` are sorted by their
    end.
    """
    found, turns = found[-FIT_GAPS:], turns[-FIT_TURNS:]
    ends = [turn.ended_at for turn in turns]
    known_from = ends[0] if len(turns) == FIT_TURNS else -math.inf
    learnt = []
    places = [bisect.bisect_right(ends, interval.end) for interval in found]
    for (before, first), (interval, last) in pairwise(zip(found, places, strict=True)):
        if before.end < known_from:
            continue
        tokens = _tokens_by_model(turns[first:last])
        if tokens:
            learnt.append(FitInterval(interval.increase, tokens))
    return learnt


def _tokens_by_model(turns: Sequence[TurnUse]) -> dict[str | None, list[float]]:
    """Return the tokens of turns by model and kind; empty if one was interrupted, so that its tokens are unknown."""
    found: dict[str | None, list[float]] = {}
    for turn in turns:
        kinds = token_counts(turn)
        if kinds is None:
            return {}
        if any(kinds):
            sums = found.get(turn.model)
            if sums is None:
                found[turn.model] = list(kinds)
            else:
                sums[0] += kinds[0]
                sums[1] += kinds[1]
                sums[2] += kinds[2]
    return found


def fit_weights(learnt: Sequence[FitInterval]) -> dict[str | None, Fit]:
    """Return the fitted weights of the models with enough history.

    Least squares over sums of intervals in which one model ran alone, without negative weights, drawn towards
    `DEFAULT_WEIGHTS`.
    """
    points = math.fsum(interval.points for interval in learnt)
    tokens = math.fsum(_weighted_tokens(interval, {}) for interval in learnt)
    if not points:
        return {}
    rate = points / tokens
    by_model: dict[str | None, list[_Block]] = {}
    for interval in learnt:
        if len(interval.tokens) == 1:
            ((model, kinds),) = interval.tokens.items()
            fixed = [number * weight for number, weight in zip(kinds, DEFAULT_WEIGHTS, strict=True)]
            by_model.setdefault(model, []).append(_Block(interval.points, fixed, int(interval.points > 0)))
    # A sum ends by its tokens, not by its points: ending by points would select on the quantity to be explained.
    summed = {
        model: _summed(alone, lambda block: sum(block.tokens) * rate >= BLOCK_POINTS)
        for model, alone in by_model.items()
    }
    return {model: _fit(blocks, rate) for model, blocks in summed.items() if len(blocks) >= MIN_BLOCKS}


def points_per_token(learnt: Sequence[FitInterval], weights: Mapping[str | None, Weights]) -> float | None:
    """Return the cost of a weighted token in points of the window; None until there is enough history.

    It is the median over many sums of increases, so that occasional use elsewhere does not change it.
    """
    weighted = [_Block(each.points, [_weighted_tokens(each, weights)], int(each.points > 0)) for each in learnt]
    blocks = _summed(weighted, lambda block: block.points >= BLOCK_POINTS)
    return median(block.points / block.tokens[0] for block in blocks) if len(blocks) >= MIN_BLOCKS else None


def median(numbers: Iterable[float]) -> float:
    """Return the median of at least one number; importing `statistics` takes longer than many a command has."""
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _weighted_tokens(interval: FitInterval, weights: Mapping[str | None, Weights]) -> float:
    products: list[float] = []
    for model, (uncached, cached, output) in interval.tokens.items():
        of = weights.get(model, DEFAULT_WEIGHTS)
        products += uncached * of[0], cached * of[1], output * of[2]
    return math.fsum(products)


def _summed(each: Sequence[_Block], enough: Callable[[_Block], bool]) -> list[_Block]:
    """Sum consecutive blocks until each is large enough; an incomplete one at the end is dropped."""
    blocks = []
    current: _Block | None = None
    for one in each:
        if current is None:
            current = _Block(one.points, list(one.tokens), one.increases)
        else:
            current.add(one)
        if enough(current):
            blocks.append(current)
            current = None
    return blocks


def _fit(blocks: Sequence[_Block], rate: float) -> Fit:
    """Find the multiples of the default weights that explain the blocks best, by coordinate descent."""
    rows = [[kind * rate for kind in block.tokens] for block in blocks]
    kinds = range(len(DEFAULT_WEIGHTS))
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
            multiples[i] = max(_MIN_MULTIPLE, rest / squares[i][i])
    weights = Weights(*(fixed * multiple for fixed, multiple in zip(DEFAULT_WEIGHTS, multiples, strict=True)))
    return Fit(weights, sum(block.increases for block in blocks))
