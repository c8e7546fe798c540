from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.attribution import (
    Interval,
    TurnUse,
    Weights,
    WindowSample,
    attribute,
    increase,
    intervals,
    is_pending,
    points_in_range,
    token_weight,
)
from tests.support.factories import NOON
from tests.support.usage_factories import DAY, WEEK, any_samples, any_turns, by_thread, sample, timestamps, turn


@pytest.mark.parametrize(
    ("before", "after", "points"),
    [
        pytest.param(sample(40), sample(43, 60), 3, id="an increase"),
        pytest.param(sample(40), sample(40, 60), 0, id="no change"),
        pytest.param(sample(40), sample(43, 60, resets_at=WEEK + 60), 3, id="the reset jitters"),
        pytest.param(sample(90), sample(2, WEEK + 60, resets_at=2 * WEEK + 30), 2, id="a reset on time"),
        pytest.param(sample(3), sample(5, WEEK + 7_200, resets_at=2 * WEEK + 30), 5, id="a reset on time, more use"),
        pytest.param(sample(3), sample(5, WEEK + 60, resets_at=2 * WEEK + 30), 2, id="due, and not reset"),
        pytest.param(sample(89), sample(89, WEEK + 5, resets_at=WEEK + 4 * DAY), 0, id="due, not reset, not used"),
        pytest.param(sample(90, DAY), sample(4, 2 * DAY, resets_at=WEEK + 2 * DAY), 4, id="an early reset"),
        pytest.param(sample(2, DAY), sample(4, 2 * DAY, resets_at=WEEK + 2 * DAY), 2, id="moved on"),
        pytest.param(sample(40, DAY), sample(41, DAY + 60, resets_at=WEEK + 7_200), 1, id="a later reset"),
        pytest.param(sample(40, DAY), sample(41, DAY + 60, resets_at=WEEK - 7_200), 1, id="a sooner reset"),
        pytest.param(sample(90), sample(0, 60, resets_at=WEEK + 60), 0, id="a reset without use"),
        pytest.param(sample(0), sample(0, DAY, resets_at=WEEK + DAY), 0, id="an unused window slides"),
        pytest.param(sample(0), sample(7, DAY, resets_at=WEEK + DAY), 7, id="the first use of a window"),
        pytest.param(sample(40), sample(38, 60), 0, id="a correction by the server"),
        pytest.param(sample(40, resets_at=None), sample(42, 60, resets_at=None), 2, id="no reset reported"),
        pytest.param(sample(40, resets_at=None), sample(3, 60, resets_at=None), 0, id="a fall, no reset reported"),
        pytest.param(sample(40, resets_at=None), sample(3, WEEK, resets_at=None), 3, id="a fall after a whole length"),
    ],
)
def test_the_increase_of_a_window(before: WindowSample, after: WindowSample, points: float) -> None:
    """A reset is not negative use: all that a window shows after it was used since."""
    assert increase(before, after) == points


def test_intervals_begin_with_the_second_sample() -> None:
    """An interval lasts from the last reading of a figure to the first reading of the next."""
    assert intervals([sample(40)]) == []
    assert intervals([sample(40, 0, until=50), sample(41, 60), sample(41.5, 90)]) == [
        Interval(50, 60, 1),
        Interval(60, 90, 0.5),
    ]


def test_intervals_of_a_time() -> None:
    """They are those that end in it."""
    samples = [sample(40, 0, until=50), sample(41, 60), sample(41.5, 90), sample(42, 95)]
    assert [each.end for each in intervals(samples, 60, 95)] == [60, 90]


@pytest.mark.parametrize(
    ("gap", "since", "until", "points"),
    [
        (Interval(10, 20, 8), 0, 30, 8),
        (Interval(10, 20, 8), 15, 30, 4),
        (Interval(10, 20, 8), 0, 12.5, 2),
        (Interval(10, 20, 8), 12, 17, 4),
        (Interval(10, 20, 8), 20, 30, 0),
        (Interval(10, 20, 8), 0, 10, 0),
        (Interval(20, 10, 8), 9, 30, 8),
        (Interval(20, 10, 8), 10, 30, 0),
        (Interval(20, 20, 8), 0, 20, 8),
    ],
)
def test_the_part_of_an_increase_in_a_time_range(gap: Interval, since: float, until: float, points: float) -> None:
    """It is the share of the interval's time; an interval without a length lies at its end."""
    assert points_in_range(gap, since, until) == points


GAP = Interval(100, 200, 6)


@pytest.mark.parametrize(
    ("turns", "shares"),
    [
        pytest.param([turn(110, 150)], {"t": 6}, id="one turn"),
        pytest.param([turn(110, 150), turn(120, 160, 200, thread="u")], {"t": 2, "u": 4}, id="by their tokens"),
        pytest.param([turn(50, 101)], {"t": 6}, id="began before"),
        pytest.param([turn(50, 100)], {None: 6}, id="ended before"),
        pytest.param([turn(50, 300)], {"t": 6}, id="still running"),
        pytest.param([turn(50, 300), turn(110, 200, thread="u")], {"u": 6}, id="ended beats running"),
        pytest.param([turn(198, 300)], {None: 6}, id="its own response came with the reading"),
        pytest.param([turn(110, 300, first_byte_at=None)], {None: 6}, id="no response so far"),
        pytest.param([turn(110, 150, status=429)], {None: 6}, id="refused"),
        pytest.param([turn(110, 150, None, warm_up=1)], {None: 6}, id="a warm-up"),
        pytest.param([turn(110, 150, 0)], {None: 6}, id="no tokens"),
        pytest.param([turn(110, 150, warm_up=1)], {"t": 6}, id="a warm-up with tokens"),
        pytest.param([turn(110, 150, None)], {"t": 6}, id="cut off"),
        pytest.param([turn(110, 150, None), turn(110, 151, None, thread="u")], {"t": 3, "u": 3}, id="two cut off"),
        pytest.param(
            [turn(110, 150, None), turn(110, 151, 50, thread="u"), turn(110, 152, 150, thread="v")],
            {"t": 2, "u": 1, "v": 3},
            id="cut off, with the mean weight",
        ),
        pytest.param([turn(110, 150, status=500), turn(50, 300, thread="u")], {"u": 6}, id="refused, and one running"),
        pytest.param([turn(150, 110)], {"t": 6}, id="the clock stepped back"),
        pytest.param([], {None: 6}, id="none"),
    ],
)
def test_an_increase_is_attributed(turns: list[TurnUse], shares: dict[str | None, float]) -> None:
    """To the turns that ended in the interval, else to those still running at its end, else to use elsewhere."""
    found = attribute([GAP], sorted(turns, key=lambda each: each.ended_at), {}, 0, 1_000)
    assert by_thread(found) == pytest.approx(shares)


@pytest.mark.parametrize(("running", "who"), [(turn(50, 300), "t"), (turn(50, 90), None)])
def test_an_interval_without_a_length(running: TurnUse, who: str | None) -> None:
    """Where the clock stepped back, its points belong to the running turns, else to use elsewhere."""
    assert by_thread(attribute([Interval(200, 100, 6)], [running], {}, 0, 1_000)) == {who: 6}


def test_an_increase_across_the_start_of_a_time_range() -> None:
    """Half of the interval is in the range, and so is half of each turn's part, whenever the turn ended."""
    turns = [turn(110, 120, thread="early"), turn(180, 190, thread="late")]
    assert by_thread(attribute([GAP], turns, {}, 150, 1_000)) == {"early": 1.5, "late": 1.5}


def test_kinds_of_tokens_are_weighed() -> None:
    """Cached input is part of the input, and reasoning is part of the output."""
    one = turn(0, 1, 10, input_tokens=1_000, cached_tokens=400, reasoning_tokens=9)
    assert token_weight(one, {}) == 600 + 40 + 60
    assert token_weight(one, {"m": Weights(1, 1, 1)}) == 1_010
    assert token_weight(one._replace(cached_tokens=5_000), {}) == 100 + 60
    assert token_weight(one._replace(cached_tokens=None), {}) == 1_060


@pytest.mark.parametrize(
    ("fields", "weight"),
    [
        pytest.param({}, 600 + 40 + 60, id="nothing written"),
        pytest.param({"cache_write_tokens": 200}, 400 + 250 + 40 + 60, id="written into the cache"),
        pytest.param({"cache_write_tokens": 600}, 750 + 40 + 60, id="all of the rest"),
        pytest.param({"cache_write_tokens": 9_000}, 750 + 40 + 60, id="more than there is"),
        pytest.param({"cached_tokens": None, "cache_write_tokens": 1_000}, 1_250 + 60, id="no cached tokens reported"),
        pytest.param({"tier": "priority"}, 2.5 * 700, id="Fast mode"),
        pytest.param({"tier": "priority", "cache_write_tokens": 200}, 2.5 * 750, id="Fast mode, and written"),
        pytest.param({"tier": "default"}, 700, id="another tier"),
        pytest.param({"tier": "priority", "model": "gpt-5.4"}, 2 * 700, id="a model with a price of its own"),
        pytest.param({"tier": "priority", "status": 429}, 0, id="refused in Fast mode"),
    ],
)
def test_cache_writes_and_fast_mode_have_their_price(fields: dict[str, Any], weight: float) -> None:
    """A written token costs a quarter more, and a turn in Fast mode a multiple."""
    one = turn(0, 1, 10, input_tokens=1_000, cached_tokens=400)._replace(**fields)
    assert token_weight(one, {}) == weight


def test_a_turn_in_fast_mode_has_the_greater_share() -> None:
    """Two turns with the same tokens share an increase by their prices."""
    turns = [turn(110, 150), turn(120, 160, thread="fast", tier="priority")]
    assert by_thread(attribute([Interval(100, 200, 7)], turns, {}, 0, 1_000)) == pytest.approx({"t": 2, "fast": 5})


@pytest.mark.parametrize(
    ("turns", "shares"),
    [
        pytest.param([], {None: 25}, id="no turn"),
        pytest.param([turn(110, 150)], {"t": 1.6, None: 23.4}, id="a small turn"),
        pytest.param([turn(110, 150), turn(50, 900, thread="u")], {"t": 1.6, "u": 1.6, None: 21.8}, id="both small"),
        pytest.param([turn(110, 150), turn(50, 900, 10_000, thread="u")], {"t": 1.6, "u": 23.4}, id="one runs on"),
        pytest.param([turn(110, 150), turn(199, 900, 10_000, thread="u")], {"t": 1.6, None: 23.4}, id="just begun"),
        pytest.param([turn(110, 150), turn(300, 900, 10_000, thread="u")], {"t": 1.6, None: 23.4}, id="began later"),
        pytest.param(
            [turn(110, 150, None), turn(50, 900, thread="u")], {"t": 25}, id="cut off: its tokens are unknown"
        ),
    ],
)
def test_what_ended_turns_cannot_explain_is_the_running_ones(
    turns: list[TurnUse], shares: dict[str | None, float]
) -> None:
    """As far as their tokens explain it; the rest was used elsewhere. A turn of 100 tokens explains 1.6 points here."""
    found = attribute([Interval(100, 200, 25)], turns, {}, 0, 1_000, rate=0.001 / 3)
    assert by_thread(found) == pytest.approx(shares)


@pytest.mark.parametrize(("after", "pending"), [(-1, False), (0, True), (3_599, True), (3_600, False)])
def test_an_increase_is_pending_for_as_long_as_a_turn_may_last(after: float, pending: bool) -> None:
    """A clock that was set back says nothing."""
    assert is_pending(NOON, NOON + after) is pending


@given(any_samples(), any_turns(), timestamps, timestamps, st.none() | st.floats(0, 1e-3))
def test_the_parts_add_up_to_the_increase(
    samples: list[WindowSample], turns: list[TurnUse], one: float, other: float, rate: float | None
) -> None:
    """For any readings, turns, resets and clocks, no point is lost or added."""
    since, until = sorted([one, other])
    found = intervals(samples)
    turns.sort(key=lambda each: each.ended_at)
    weights: dict[str | None, Weights] = {"m": Weights(2, 0.5, 3)}
    shared_out = [part.points for part in attribute(found, turns, weights, since, until, rate=rate)]
    assert all(points >= 0 for points in shared_out)
    whole = math.fsum(points_in_range(gap, since, until) for gap in found)
    assert math.fsum(shared_out) == pytest.approx(whole, abs=1e-9)


@given(any_samples(), st.lists(timestamps, min_size=3, max_size=3))
def test_consecutive_time_ranges_add_up(samples: list[WindowSample], at: list[float]) -> None:
    """The points of two consecutive ranges are those of both together."""
    first, middle, last = sorted(at)
    for gap in intervals(samples):
        halves = points_in_range(gap, first, middle) + points_in_range(gap, middle, last)
        assert halves == pytest.approx(points_in_range(gap, first, last), abs=1e-9)
