"""The kept rows of windows: charts, peaks and numbers are the same with and without them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_reader
from store.kept.filling import Wish, fill
from store.kept.reading import ask_kept
from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction
from store.queries.history_points import PointRange, load_history_points
from store.queries.kept_windows import QUARTER, UTC_DAY, WINDOWS, limit_rows
from store.queries.peaks import load_peaks
from store.queries.timeline import bucket_of, load_timelines
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.kept_histories import DAY, EXAMPLES, HISTORIES, HOUR, Step, pieces_of, play, without_kept

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import HistoryPointsDocument, PeaksDocument
    from store.queries.timeline import LimitTimeline

COLUMNS = 40


class Answers(NamedTuple):
    """What is asked of the windows of all accounts."""

    timelines: list[LimitTimeline]
    peaks: PeaksDocument
    points: HistoryPointsDocument


def ask(path: Path, now: float, since: float | None) -> Answers:
    with closing(open_reader(path)) as connection:
        accounts, begin = load_accounts(connection), NOON if since is None else since
        return Answers(
            load_timelines(connection, now, COLUMNS, accounts=accounts, since=since),
            load_peaks(connection, now, accounts=accounts, since=begin),
            load_history_points(connection, PointRange(begin, now), accounts=accounts, most=2),
        )


def rows_read(path: Path, since: float, bucket: int) -> int:
    """Return how many rows a chart of the first account's main limit reads."""
    with closing(open_reader(path)) as connection, read_transaction(connection):

        def read(kept: Any) -> int:
            return len(list(limit_rows(connection, kept, (1, "codex"), since, bucket)))

        return ask_kept(connection, WINDOWS, read) or read(None)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=HISTORIES, days=st.sampled_from((0.5, 3, 30)), since=st.floats(0, 80))
def test_kept_rows_change_no_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], days: float, since: float
) -> None:
    """Whatever happens to the database, and in whatever pieces they were kept."""
    with monkeypatch.context() as patch:
        pieces_of(patch, days)
        for history in play(path, [WINDOWS], steps):
            for begin in (None, history.now - since * DAY):
                found = ask(path, history.now, begin)
                with without_kept(patch):
                    assert found == ask(path, history.now, begin)


@pytest.mark.parametrize(
    ("days", "bucket"), [(0.1, 0), (1, QUARTER), (7, QUARTER), (79, QUARTER), (80, UTC_DAY), (365, UTC_DAY)]
)
def test_the_columns_of_long_charts_begin_at_full_quarters_or_days(days: float, bucket: int) -> None:
    """A column has two of these at least."""
    assert bucket_of(days * DAY, COLUMNS) == bucket


def test_a_long_chart_reads_few_rows(path: Path) -> None:
    """Of rising readings, the first and the last of each quarter hour, or of each day."""
    minutes = 5 * DAY // 60
    record(path, *(used(minute / minutes * 90, seven=1, at=NOON + 60 * minute) for minute in range(minutes)))
    now = NOON + 6 * DAY + 2 * HOUR
    assert rows_read(path, NOON, QUARTER) == minutes
    assert fill(path, [Wish(WINDOWS)], now)
    assert rows_read(path, NOON, QUARTER) == 2 * 4 * 24 * 5
    assert rows_read(path, NOON, UTC_DAY) == 2 * 6
    assert rows_read(path, NOON, 0) == minutes


def test_a_snapshot_that_is_seen_again_is_kept_as_it_was_seen_last(path: Path) -> None:
    """It was kept before that; the days until then have its peak."""
    record(path, used(30, at=NOON))
    now = NOON + 3 * DAY
    assert fill(path, [Wish(WINDOWS)], now)
    record(path, used(30, at=now), used(40, at=now + 60))
    for at in (now + HOUR, now + 9 * DAY):
        assert fill(path, [Wish(WINDOWS)], at)
        days = ask(path, at, NOON).peaks["limits"][0]["windows"]["5h"]["days"]
        assert [each["used_percent"] for each in days] == [30, 30, 30, 40]


def test_what_was_kept_of_later_than_a_clock_that_was_set_back_is_no_peak(path: Path) -> None:
    """A day has the peak of its snapshots up to the time of the question."""
    record(path, used(30, at=NOON), used(40, at=NOON + HOUR))
    assert fill(path, [Wish(WINDOWS)], NOON + DAY)
    (day,) = ask(path, NOON + HOUR / 2, NOON).peaks["limits"][0]["windows"]["5h"]["days"]
    assert day["used_percent"] == 30
