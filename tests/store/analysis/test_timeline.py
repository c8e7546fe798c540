"""The used percent of a window over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.timeline import Axis, WindowTimeline, _TimelineBuilder, window_timelines
from tests.support.factories import NOON
from tests.support.timeline_factories import HOUR, five, row


def highs(timeline: WindowTimeline) -> list[float | None]:
    return [column and column.high for column in timeline.columns]


def test_a_reading_holds_until_the_next() -> None:
    """The line has steps, not slopes, and begins at the first reading."""
    timeline = five(row(2, 10, resets=20), row(5, 30, resets=20))
    assert highs(timeline) == [None, None, 10, 10, 10, 30, 30, 30, 30, 30]
    assert timeline.resets == []
    assert (timeline.now, timeline.peak, timeline.readings) == (30, 30, 2)


def test_an_unseen_reset_empties_the_window() -> None:
    """The window falls to 0 when its reset was due, and is marked as unseen from there."""
    timeline = five(row(1, 60, resets=4))
    assert highs(timeline) == [None, 60, 60, 60, 60, 0, 0, 0, 0, 0]
    assert [bool(column and column.unseen) for column in timeline.columns] == [False] * 5 + [True] * 5
    assert [(reset.at, reset.unseen) for reset in timeline.resets] == [(NOON + 4 * HOUR, True)]
    assert (timeline.now, timeline.peak) == (0, 60)


def test_a_reset_that_was_seen_later_is_one_reset() -> None:
    """A reading after the reset confirms it; the reset counts once."""
    timeline = five(row(1, 60, resets=4), row(6, 5, resets=9.5))
    assert highs(timeline) == [None, 60, 60, 60, 60, 0, 5, 5, 5, 5]
    assert [reset.unseen for reset in timeline.resets] == [False, True]


def test_an_early_reset_is_where_it_was_seen() -> None:
    """Lower use and a later reset mean an early reset."""
    timeline = five(row(1, 60, resets=9), row(3, 5, resets=20))
    assert [(reset.at, reset.unseen) for reset in timeline.resets] == [(NOON + 3 * HOUR, False)]


def test_a_fall_within_a_window_is_not_a_reset() -> None:
    """A correction by the server lowers the line without a reset."""
    timeline = five(row(1, 60, resets=20), row(3, 58, resets=20))
    assert timeline.resets == []
    assert highs(timeline)[-1] == 58


def test_a_window_that_is_no_longer_reported_ends() -> None:
    """Its line ends; it does not fall to 0."""
    unreported = row(3, 0, resets=0) | {"used_5h_percent": None, "window_5h_minutes": None, "resets_5h_at": None}
    assert highs(five(row(1, 60, resets=20), unreported)) == [None, 60, 60, 60, None, None, None, None, None, None]


def test_a_peak_between_two_columns_stays() -> None:
    """A column keeps the lowest and the highest of its readings."""
    rows = [row(1 + number / 1_000, used, resets=20) for number, used in enumerate([10, 97, 12] * 100)]
    column = five(*rows).columns[1]
    assert column is not None
    assert (column.low, column.high, column.last) == (10, 97, 12)


def test_the_row_before_the_time_range_holds_at_its_start() -> None:
    """The left edge shows the last reading before it."""
    timeline = five(row(-2, 40, resets=3), begin=0)
    assert highs(timeline)[:5] == [40, 40, 40, 40, 0]
    assert timeline.readings == 0


@given(
    st.lists(
        st.tuples(st.floats(0, 12), st.floats(0, 120), st.floats(-2, 8)),
        min_size=1,
        max_size=40,
    )
)
def test_values_are_within_the_reported_ones(reported: list[tuple[float, float, float]]) -> None:
    """For any readings and clock steps, columns are within the reported values, and peaks are in their columns."""
    rows = [row(at, used, resets=at + left) for at, used, left in reported]
    found = window_timelines(rows, Axis(NOON, NOON + 12 * HOUR, 24))
    if not found:
        return
    columns = [column for column in found["5h"].columns if column]
    values = {used for _, used, _ in reported} | {0.0}
    assert len(found["5h"].columns) == 24
    assert all({column.low, column.high, column.last} <= values for column in columns)
    assert all(column.low <= column.last <= column.high for column in columns)
    assert found["5h"].peak == max(column.high for column in columns)


@given(
    st.lists(st.tuples(st.floats(0, 12), st.sampled_from([0, 1, 5, 5.5, 80]), st.sampled_from([3, 6, 9])), max_size=40),
    st.booleans(),
)
def test_the_fast_path_draws_the_same(reported: list[tuple[float, float, float]], in_order: bool) -> None:
    """The fast path for rising readings draws the same as the slow path."""
    rows = [row(at, used, resets=resets) for at, used, resets in (sorted(reported) if in_order else reported)]
    fast = window_timelines(rows, Axis(NOON, NOON + 12 * HOUR, 24))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_TimelineBuilder, "add_rising", lambda *_: False)
        assert window_timelines(rows, Axis(NOON, NOON + 12 * HOUR, 24)) == fast
