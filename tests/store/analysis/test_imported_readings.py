"""Readings of session files that ran at once."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.attribution import WindowSample
from store.analysis.imported_readings import OVERTAKEN_SECONDS, ordered
from tests.support.factories import NOON, WEEK_MINUTES

RESET = int(NOON) + 300_000


def sample(at: float, used: float, until: float | None = None, resets_at: int | None = RESET) -> WindowSample:
    return WindowSample(NOON + at, NOON + (at if until is None else until), used, WEEK_MINUTES, resets_at)


def shown(samples: list[WindowSample], until: float = math.inf) -> list[tuple[float, float, float]]:
    found = ordered(samples, NOON + until)
    return [(each.first_at - NOON, each.last_at - NOON, each.used_percent) for each in found]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([sample(0, 40), sample(10, 41), sample(11, 40), sample(20, 41)], [40, 41, 41]),
        ([sample(0, 40), sample(10, 0), sample(20, 1)], [40, 0, 1]),
        ([sample(0, 40), sample(10, 2, None, RESET + 604_800), sample(20, 40)], [40, 2, 40]),
        ([sample(0, 40), sample(10, 2, None, None), sample(20, 40)], [40, 2, 40]),
        ([sample(0, 40), sample(10, 30), sample(20 + OVERTAKEN_SECONDS, 40)], [40, 30, 40]),
        ([sample(10, 41), sample(0, 40)], [40, 41]),
    ],
    ids=["a late reading", "given back", "reset", "no reset told", "long after", "another order"],
)
def test_late_readings_are_left_out(samples: list[WindowSample], expected: list[float]) -> None:
    """One below the others of its reset is late where the window is back soon; what was given back stays."""
    assert [used for _, _, used in shown(samples)] == expected


def test_no_reading_is_seen_after_the_next() -> None:
    """Nor after the tap's own begin."""
    samples = [sample(0, 40, 30), sample(20, 41, 500), sample(200, 42)]
    assert shown(samples, until=100) == [(0, 20, 40), (20, 100, 41)]


@given(st.lists(st.tuples(st.floats(0, 9_000), st.floats(0, 600), st.integers(0, 100)), max_size=30))
def test_the_order_is_that_of_time(figures: list[tuple[float, float, int]]) -> None:
    """Whatever was told, a reading ends where the next begins, or before."""
    found = shown([sample(at, used, at + length) for at, length, used in figures])
    assert all(first <= last for first, last, _ in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
