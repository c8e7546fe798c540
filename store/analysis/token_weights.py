"""Token weights fitted to an account's own history."""

from __future__ import annotations

import bisect
import math
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.attribution import DEFAULT_WEIGHTS, FIT_GAPS, FIT_TURNS, Interval, TurnUse, Weights, token_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Fit(NamedTuple):
    """A model's weights, in units of `FIXED` of the account's average turn, and how many rises they come from."""

    weights: Weights
    rises: int


BLOCK_POINTS = 3.0
"""Rises are added up to about so much before they are compared with tokens: most figures come in whole percents."""

MIN_BLOCKS = 12
"""Fewer of them say nothing."""

_SHRINKAGE = 2.0
"""How much the fixed weights count against what was seen, in square points."""

_MIN_MULTIPLE = 0.01
"""No token is for nothing."""

_ROUNDS = 200


class FitInterval(NamedTuple):
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


def fit_intervals(found: Sequence[Interval], turns: Sequence[TurnUse]) -> list[FitInterval]:
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
        tokens = _tokens_by_model(among)
        if tokens:
            learnt.append(FitInterval(gap.rise, tokens))
    return learnt


def _tokens_by_model(turns: Sequence[TurnUse]) -> dict[str | None, list[int]]:
    """Return the tokens of turns by model and kind; none where one was cut off, and nobody knows what it took."""
    found: dict[str | None, list[int]] = {}
    for turn in turns:
        kinds = token_counts(turn)
        if kinds is None:
            return {}
        if any(kinds):
            sums = found.setdefault(turn.model, [0, 0, 0])
            for i, number in enumerate(kinds):
                sums[i] += number
    return found


def fit_weights(learnt: Sequence[FitInterval]) -> dict[str | None, Fit]:
    """Answer "what does a token of each model weigh?", for the models that enough is known of.

    Least squares over sums of spans in which that model ran alone, with no weight negative, drawn towards `FIXED`.
    """
    points = math.fsum(span.points for span in learnt)
    tokens = math.fsum(_weighted_tokens(span, {}) for span in learnt)
    if not points:
        return {}
    rate = points / tokens
    by_model: dict[str | None, list[_Block]] = {}
    for span in learnt:
        if len(span.tokens) == 1:
            ((model, kinds),) = span.tokens.items()
            fixed = [number * weight for number, weight in zip(kinds, DEFAULT_WEIGHTS, strict=True)]
            by_model.setdefault(model, []).append(_Block(span.points, fixed, int(span.points > 0)))
    # A sum ends when enough was done, not when enough was used: else what is to be explained would be given.
    summed = {
        model: _summed(alone, lambda block: sum(block.tokens) * rate >= BLOCK_POINTS)
        for model, alone in by_model.items()
    }
    return {model: _fit(blocks, rate) for model, blocks in summed.items() if len(blocks) >= MIN_BLOCKS}


def points_per_token(learnt: Sequence[FitInterval], weights: Mapping[str | None, Weights]) -> float | None:
    """Answer "what does a weighed token cost?", in points of the window; None until enough is known.

    It is the middle one of many sums of rises, so that what was used elsewhere now and then does not change it.
    """
    weighed = [_Block(span.points, [_weighted_tokens(span, weights)], int(span.points > 0)) for span in learnt]
    blocks = _summed(weighed, lambda block: block.points >= BLOCK_POINTS)
    return statistics.median(block.points / block.tokens[0] for block in blocks) if len(blocks) >= MIN_BLOCKS else None


def _weighted_tokens(span: FitInterval, weights: Mapping[str | None, Weights]) -> float:
    return math.fsum(
        number * weight
        for model, kinds in span.tokens.items()
        for number, weight in zip(kinds, weights.get(model, DEFAULT_WEIGHTS), strict=True)
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
    return Fit(weights, sum(block.rises for block in blocks))
