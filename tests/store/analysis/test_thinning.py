"""The snapshots that a chart needs."""

from __future__ import annotations

import pytest

from store.analysis.thinning import Needed, Reading, thinned

QUARTER = 900


def readings(*seen: tuple[float, float]) -> list[Needed]:
    """Readings of one window: when each was seen, and its used percent."""
    return [Needed(Reading(number, at, at, (used,), ("5h", 300, 99)), 1) for number, (at, used) in enumerate(seen)]


def found(entries: list[Needed]) -> list[tuple[int, int]]:
    """The ids of the readings that are needed, and the numbers of those that they stand for."""
    return [(each.reading.id, each.number) for each in thinned(entries, QUARTER)]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([(0, 1)], [(0, 1)], id="one"),
        pytest.param([(0, 1), (10, 2)], [(0, 1), (1, 1)], id="two"),
        pytest.param([(0, 1), (10, 2), (20, 2), (899, 9)], [(0, 3), (3, 1)], id="rising"),
        pytest.param([(0, 1), (10, 5), (20, 2), (30, 3)], [(0, 1), (1, 1), (2, 1), (3, 1)], id="falls"),
        pytest.param([(0, 1), (10, 2), (899, 3), (900, 4)], [(0, 2), (2, 1), (3, 1)], id="next bucket"),
        pytest.param([(20, 1), (10, 2), (30, 3)], [(0, 1), (1, 1), (2, 1)], id="clock set back"),
    ],
)
def test_of_rising_readings_the_first_and_the_last_are_needed(
    seen: list[tuple[float, float]], expected: list[tuple[int, int]]
) -> None:
    """Within a bucket; the first one stands for those in between."""
    assert found(readings(*seen)) == expected


def test_another_window_or_reset_begins_anew() -> None:
    """Only used percents may differ."""
    first, second, third = readings((0, 1), (10, 2), (20, 3))
    moved = third._replace(reading=third.reading._replace(windows=("5h", 300, 77)))
    assert found([first, second, moved]) == [(0, 1), (1, 1), (2, 1)]


def test_thinned_readings_can_be_thinned_further() -> None:
    """Longer buckets need a part of what shorter ones need, and numbers add up."""
    entries = readings(*((60.0 * minute, float(minute)) for minute in range(120)))
    quarters = list(thinned(entries, QUARTER))
    assert len(quarters) == 2 * 8
    assert list(thinned(quarters, 86_400)) == list(thinned(entries, 86_400))
    assert sum(each.number for each in thinned(quarters, 86_400)) == 120
