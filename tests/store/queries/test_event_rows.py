"""The events that rows say, range by range."""

from __future__ import annotations

import math
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_reader
from store.queries.event_rows import EventRange, current_rows, events_of, row_by_id
from tests.support.databases import record
from tests.support.event_factories import five, reported
from tests.support.factories import NOON
from tests.support.kept_histories import DAY, HISTORIES, HOUR, Step, play

if TYPE_CHECKING:
    from pathlib import Path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=HISTORIES, cuts=st.lists(st.floats(-1, 200), max_size=5))
def test_the_events_of_ranges_are_those_of_the_whole(path: Path, steps: list[Step], cuts: list[float]) -> None:
    """Wherever they are cut, and so is the number of snapshots."""
    for _ in play(path, [], [step for step in steps if step[0] not in {"fill", "kill"}]):
        pass
    bounds = [-math.inf, *sorted(NOON + day * DAY for day in cuts), math.inf]
    with closing(open_reader(path)) as connection:
        for (account,) in connection.execute("SELECT id FROM accounts"):
            whole = events_of(connection, EventRange(account))
            parts = [events_of(connection, EventRange(account, *each)) for each in pairwise(bounds)]
            assert sorted(repr(shown) for part in parts for shown in part.shown) == sorted(map(repr, whole.shown))
            assert sorted(at for part in parts for at in part.snapshots_at) == sorted(whole.snapshots_at)


@pytest.mark.parametrize("apart", [0.5, 5, 23])
def test_the_snapshot_before_a_range_is_that_which_arrived_last(path: Path, apart: float) -> None:
    """Where the clock was set back, others have later times, or lie between the two times."""
    due = NOON + 40 * HOUR
    record(path, *(reported(five(used, due), at * HOUR) for used, at in ((10, 24 - apart / 2), (20, 24))))
    record(path, reported(five(40, due), (24 - apart) * HOUR), reported(five(3, NOON + 9 * DAY), 8 * DAY))
    for since in (24, 24.5, 48, 100):
        with closing(open_reader(path)) as connection:
            (shown, *_) = events_of(connection, EventRange(1, NOON + since * HOUR)).shown
        assert (shown.event.kind, shown.event.before.used_percent) == ("window_reset", 40)


@pytest.mark.parametrize("since", [-math.inf, NOON + 1.5 * HOUR])
def test_use_elsewhere_is_told_by_two_consecutive_snapshots(path: Path, since: float) -> None:
    """The earlier one was opened by a message without windows, and has those of the one before it."""
    record(path, reported(five(10)), reported(None, 60, plan_type="pro"))
    record(path, reported(five(14), 1.9 * HOUR, plan_type="pro"))
    with closing(open_reader(path)) as connection:
        (shown,) = events_of(connection, EventRange(1, since)).shown
    assert (shown.event.kind, shown.event.before.seen_at) == ("used_elsewhere", NOON)
    assert (shown.event.before.id, shown.event.after.id) == (2, 3)


def test_an_event_is_shown_by_its_later_snapshot(path: Path) -> None:
    """A reset that was due while nobody looked happened before."""
    record(path, reported(five(40)), reported(five(3, NOON + 6 * DAY), 5 * DAY))
    with closing(open_reader(path)) as connection:
        (shown,) = (each for each in events_of(connection, EventRange(1)).shown if each.event.kind == "window_reset")
    assert (shown.shown_at, shown.event.at) == (NOON + 5 * DAY, NOON + 7_200)


def test_the_snapshots_that_are_not_final(path: Path) -> None:
    """The newest of each limit."""
    record(path, reported(five(40)), reported(five(41), 60))
    with closing(open_reader(path)) as connection:
        (row,) = current_rows(connection, 1)
        assert row["first_seen_at"] == NOON + 60
        assert row_by_id(connection, row["id"]) == row
        assert row_by_id(connection, 99) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=HISTORIES)
def test_rows_that_are_passed_over_have_no_events(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step]
) -> None:
    """A limit that was only used a little more has none, and does not change those of the rows after it."""
    for _ in play(path, [], [step for step in steps if step[0] not in {"fill", "kill"}]):
        pass
    with closing(open_reader(path)) as connection:
        for (account,) in connection.execute("SELECT id FROM accounts"):
            found = events_of(connection, EventRange(account))
            with monkeypatch.context() as patch:
                patch.setattr("store.analysis.events._only_grew", lambda *_: False)
                assert events_of(connection, EventRange(account)) == found
