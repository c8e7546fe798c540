from __future__ import annotations

import math

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
    points_in_range,
    token_weight,
)
from tests.support.usage_factories import DAY, WEEK, any_samples, any_turns, by_thread, sample, timestamps, turn


@pytest.mark.parametrize(
    ("before", "after", "points"),
    [
        pytest.param(sample(40), sample(43, 60), 3, id="it rose"),
        pytest.param(sample(40), sample(40, 60), 0, id="it stood"),
        pytest.param(sample(40), sample(43, 60, resets_at=WEEK + 60), 3, id="the reset jitters"),
        pytest.param(sample(90), sample(2, WEEK + 60, resets_at=2 * WEEK + 30), 2, id="a reset on time"),
        pytest.param(
            sample(3), sample(5, WEEK + 60, resets_at=2 * WEEK + 30), 5, id="a reset that hides behind more use"
        ),
        pytest.param(sample(90, DAY), sample(4, 2 * DAY, resets_at=WEEK + 2 * DAY), 4, id="an early reset"),
        pytest.param(sample(2, DAY), sample(4, 2 * DAY, resets_at=WEEK + 2 * DAY), 4, id="an early reset, more use"),
        pytest.param(sample(40, DAY), sample(41, DAY + 60, resets_at=WEEK + 7_200), 1, id="a reset that was put off"),
        pytest.param(sample(40, DAY), sample(41, DAY + 60, resets_at=WEEK - 7_200), 1, id="a reset that came nearer"),
        pytest.param(sample(90), sample(0, 60, resets_at=WEEK + 60), 0, id="a reset without use"),
        pytest.param(sample(0), sample(0, DAY, resets_at=WEEK + DAY), 0, id="an unused window slides"),
        pytest.param(sample(0), sample(7, DAY, resets_at=WEEK + DAY), 7, id="the first use of a window"),
        pytest.param(sample(40), sample(38, 60), 0, id="the server put it right"),
        pytest.param(sample(40, resets_at=None), sample(42, 60, resets_at=None), 2, id="no reset told"),
        pytest.param(sample(40, resets_at=None), sample(3, 60, resets_at=None), 3, id="a fall, no reset told"),
    ],
)
def test_what_a_window_rose_by(before: WindowSample, after: WindowSample, points: float) -> None:
    """A reset is never a negative use: after it, all that the window shows was used since."""
    assert increase(before, after) == points


def test_a_window_seen_for_the_first_time_has_no_rise() -> None:
    """Nothing is known of what was before; gaps go from the last sight of a figure to the first of the next."""
    assert intervals([sample(40)]) == []
    assert intervals([sample(40, 0, until=50), sample(41, 60), sample(41.5, 90)]) == [
        Interval(50, 60, 1),
        Interval(60, 90, 0.5),
    ]


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
def test_what_of_a_rise_is_in_a_period(gap: Interval, since: float, until: float, points: float) -> None:
    """By the share of the gap's time; one that has no length is where its end is."""
    assert points_in_range(gap, since, until) == points


GAP = Interval(100, 200, 6)


@pytest.mark.parametrize(
    ("turns", "shares"),
    [
        pytest.param([turn(110, 150)], {"t": 6}, id="one turn"),
        pytest.param([turn(110, 150), turn(120, 160, 200, thread="u")], {"t": 2, "u": 4}, id="by their tokens"),
        pytest.param([turn(50, 101)], {"t": 6}, id="one that began before"),
        pytest.param([turn(50, 100)], {None: 6}, id="one that ended before"),
        pytest.param([turn(50, 300)], {"t": 6}, id="one that runs on"),
        pytest.param([turn(50, 300), turn(110, 200, thread="u")], {"u": 6}, id="ended beats running"),
        pytest.param([turn(198, 300)], {None: 6}, id="the reading came with its own answer"),
        pytest.param([turn(110, 300, first_byte_at=None)], {None: 6}, id="one without an answer so far"),
        pytest.param([turn(110, 150, status=429)], {None: 6}, id="a refused one"),
        pytest.param([turn(110, 150, None, warm_up=1)], {None: 6}, id="a warm-up"),
        pytest.param([turn(110, 150, 0)], {None: 6}, id="one of no tokens"),
        pytest.param([turn(110, 150, warm_up=1)], {"t": 6}, id="a warm-up that took tokens"),
        pytest.param([turn(110, 150, None)], {"t": 6}, id="one cut off"),
        pytest.param([turn(110, 150, None), turn(110, 151, None, thread="u")], {"t": 3, "u": 3}, id="two cut off"),
        pytest.param(
            [turn(110, 150, None), turn(110, 151, 50, thread="u"), turn(110, 152, 150, thread="v")],
            {"t": 2, "u": 1, "v": 3},
            id="a cut off one weighs as the mean",
        ),
        pytest.param([turn(110, 150, status=500), turn(50, 300, thread="u")], {"u": 6}, id="refused, and one running"),
        pytest.param([turn(150, 110)], {"t": 6}, id="the clock stepped back in it"),
        pytest.param([], {None: 6}, id="none"),
    ],
)
def test_whose_a_rise_is(turns: list[TurnUse], shares: dict[str | None, float]) -> None:
    """Of the turns that ended in the gap, else of those under way at its end, else it was used elsewhere."""
    found = attribute([GAP], sorted(turns, key=lambda each: each.ended_at), {}, 0, 1_000)
    assert by_thread(found) == pytest.approx(shares)


@pytest.mark.parametrize(("running", "who"), [(turn(50, 300), "t"), (turn(50, 90), None)])
def test_a_gap_of_no_length_loses_nothing(running: TurnUse, who: str | None) -> None:
    """Where the clock stepped back it is that of the turns under way, else elsewhere's."""
    assert by_thread(attribute([Interval(200, 100, 6)], [running], {}, 0, 1_000)) == {who: 6}


def test_a_rise_across_the_start_is_of_all_turns_of_its_gap() -> None:
    """Half of the gap is in the period, so half of each turn's part is, whenever they ended."""
    turns = [turn(110, 120, thread="early"), turn(180, 190, thread="late")]
    assert by_thread(attribute([GAP], turns, {}, 150, 1_000)) == {"early": 1.5, "late": 1.5}


def test_kinds_of_tokens_are_weighed() -> None:
    """Cached input is a part of the input, reasoning one of the output."""
    one = turn(0, 1, 10, input_tokens=1_000, cached_tokens=400, reasoning_tokens=9)
    assert token_weight(one, {}) == 600 + 40 + 80
    assert token_weight(one, {"m": Weights(1, 1, 1)}) == 1_010
    assert token_weight(one._replace(cached_tokens=5_000), {}) == 100 + 80
    assert token_weight(one._replace(cached_tokens=None), {}) == 1_080


@given(any_samples(), any_turns(), timestamps, timestamps, st.none() | st.floats(0, 1e-3))
def test_the_parts_add_up_to_the_rise(
    sights: list[WindowSample], turns: list[TurnUse], one: float, other: float, rate: float | None
) -> None:
    """Whatever the readings, turns, resets and clocks: no point is lost and none is made."""
    since, until = sorted([one, other])
    found = intervals(sights)
    turns.sort(key=lambda each: each.ended_at)
    weights: dict[str | None, Weights] = {"m": Weights(2, 0.5, 3)}
    shared_out = [part.points for part in attribute(found, turns, weights, since, until, rate=rate)]
    assert all(points >= 0 for points in shared_out)
    whole = math.fsum(points_in_range(gap, since, until) for gap in found)
    assert math.fsum(shared_out) == pytest.approx(whole, abs=1e-9)


@given(any_samples(), st.lists(timestamps, min_size=3, max_size=3))
def test_periods_that_follow_each_other_add_up(sights: list[WindowSample], moments: list[float]) -> None:
    """What was used this week and last week was used in these two weeks."""
    first, middle, last = sorted(moments)
    for gap in intervals(sights):
        halves = points_in_range(gap, first, middle) + points_in_range(gap, middle, last)
        assert halves == pytest.approx(points_in_range(gap, first, last), abs=1e-9)
