from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.attribution import (
    DEFAULT_WEIGHTS,
    Interval,
    TurnUse,
    Weights,
    attribute,
    intervals,
    token_weight,
)
from store.analysis.token_weights import MIN_BLOCKS, fit_intervals, fit_weights, median, points_per_token
from tests.support.usage_factories import SimulatedUse, by_thread, simulate_use, turn


def shared(history: SimulatedUse, *, fit: bool) -> dict[str | None, float]:
    """Points by thread, with fixed or fitted weights."""
    found = intervals(history.samples)
    weights = (
        {model: each.weights for model, each in fit_weights(fit_intervals(found, history.turns)).items()} if fit else {}
    )
    rate = points_per_token(fit_intervals(found, history.turns), weights)
    return by_thread(attribute(found, history.turns, weights, -1, math.inf, rate=rate))


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_shares_come_out_near_the_known_cost(seed: int, at_end: bool) -> None:
    """Each of two threads and another machine is within a tenth of the total, from readings in whole percents."""
    history = simulate_use(seed, {"m": DEFAULT_WEIGHTS}, elsewhere=0.006, at_end=at_end)
    found = shared(history, fit=False)
    whole = math.fsum(history.cost.values())
    assert math.fsum(found.values()) == pytest.approx(whole, abs=2)
    for thread, cost in history.cost.items():
        assert found.get(thread, 0) == pytest.approx(cost, abs=0.1 * whole)


@pytest.mark.parametrize("truth", [DEFAULT_WEIGHTS, Weights(1, 0.5, 3), Weights(1, 0.02, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_weights_come_near_the_true_ones(seed: int, truth: Weights) -> None:
    """Fitted weights predict the cost of turns better than the fixed ones, or as well where those are right."""
    history = simulate_use(seed, {"m": truth}, count=3_000, elsewhere=0, at_end=True)
    fit = fit_weights(fit_intervals(intervals(history.samples), history.turns))["m"]
    assert fit.increases > 100
    assert _error(history.turns, truth, fit.weights) < max(0.1, 0.7 * _error(history.turns, truth, DEFAULT_WEIGHTS))


def _error(turns: list[TurnUse], truth: Weights, weights: Weights) -> float:
    """The error of the shares that weights give to turns, from 0 to 2."""
    true, ours = ([token_weight(each, {"m": of}) or 0.0 for each in turns] for of in (truth, weights))
    return sum(abs(a / sum(true) - b / sum(ours)) for a, b in zip(true, ours, strict=True))


def test_models_have_their_own_weights() -> None:
    """A model whose tokens cost four times as much weighs about so much more."""
    history = simulate_use(
        1, {"small": DEFAULT_WEIGHTS, "large": Weights(4, 0.4, 32)}, count=3_000, elsewhere=0, at_end=True
    )
    fits = fit_weights(fit_intervals(intervals(history.samples), history.turns))
    of = {
        model: sum(token_weight(each, {"m": fit.weights}) or 0 for each in _as_m(history.turns))
        for model, fit in fits.items()
    }
    assert 2.5 < of["large"] / of["small"] < 6


def _as_m(turns: list[TurnUse]) -> list[TurnUse]:
    return [each._replace(model="m") for each in turns]


def test_weights_are_fixed_until_enough_is_known() -> None:
    """So are the points per token: without them, a turn may explain all of an increase."""
    history = simulate_use(0, {"m": DEFAULT_WEIGHTS}, count=60, elsewhere=0, at_end=True)
    found = intervals(history.samples)
    assert len(found) < MIN_BLOCKS * 3
    assert fit_weights(fit_intervals(found, history.turns)) == {}
    assert points_per_token(fit_intervals(found, history.turns), {}) is None
    assert fit_weights([]) == {}


def test_no_turn_has_more_than_its_tokens_explain() -> None:
    """A small turn at the edge of a night in which another machine used 25 points gets its own part alone."""
    history = simulate_use(0, {"m": DEFAULT_WEIGHTS}, elsewhere=0, at_end=True)
    rate = points_per_token(fit_intervals(intervals(history.samples), history.turns), {})
    night = Interval(0, 30_000, 25)
    found = by_thread(attribute([night], [turn(10, 40, 1_000)], {}, -1, 40_000, rate=rate))
    assert found["t"] < 2
    assert math.fsum(found.values()) == 25


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_median_is_that_of_the_standard_library(numbers: list[float]) -> None:
    """Any numbers, in any order."""
    assert median(iter(numbers)) == statistics.median(numbers)
