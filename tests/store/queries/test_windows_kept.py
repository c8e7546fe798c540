"""The kept rows of windows: charts and peaks are the same with and without them."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.database import open_reader
from store.files import kept_path
from store.kept.filling import Wish, fill
from store.kept.reading import ask_kept
from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction
from store.queries.peaks import load_peaks
from store.queries.timeline import bucket_of, load_timelines
from store.queries.windows_kept import QUARTER, UTC_DAY, WINDOWS, limit_rows
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.kept_windows import DAY, HOUR, RandomHistory

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import PeaksDocument
    from store.queries.timeline import LimitTimeline

COLUMNS = 40


class Answers(NamedTuple):
    """What is asked of the windows of all accounts."""

    timelines: list[LimitTimeline]
    peaks: PeaksDocument


def ask(path: Path, now: float, since: float | None) -> Answers:
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        return Answers(
            load_timelines(connection, now, COLUMNS, accounts=accounts, since=since),
            load_peaks(connection, now, accounts=accounts, since=NOON if since is None else since),
        )


def ask_slowly(path: Path, now: float, since: float | None) -> Answers:
    """Ask the rows of the database alone."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("timeline", "peaks"):
            patch.setattr(f"store.queries.{module}.ask_kept", lambda *_: None)
        return ask(path, now, since)


def rows_read(path: Path, since: float, bucket: int) -> int:
    """Return how many rows a chart of the first account's main limit reads."""
    with closing(open_reader(path)) as connection, read_transaction(connection):

        def read(kept: Any) -> int:
            return len(list(limit_rows(connection, kept, (1, "codex"), since, bucket)))

        return ask_kept(connection, WINDOWS, read) or read(None)


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_kept_rows_change_no_answer(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Whatever happened: pauses, resets, late messages, a clock that was set, deleted and joined accounts."""
    path = tmp_path_factory.mktemp("random") / "tap.sqlite3"
    chance = random.Random(seed)  # noqa: S311 (a test)
    history = RandomHistory(path, chance)
    for _ in range(chance.randint(2, 6)):
        history.go_on(chance.choice((0.3, 2, 12, 70)))
        if chance.random() < 0.3:
            history.edit()
        if chance.random() < 0.8:
            begin = chance.choice((0.0, history.now - 5 * DAY, history.now - 40 * DAY))
            assert fill(path, [Wish(WINDOWS, begin)], history.now)
        now = history.now + chance.choice((0, 50, HOUR, 3 * DAY))
        for since in (None, now - 3 * HOUR, now - 2 * DAY, now - 9 * DAY, now - 200 * DAY):
            assert ask(path, now, since) == ask_slowly(path, now, since)


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
    assert ask(path, now, NOON) == ask_slowly(path, now, NOON)
    assert fill(path, [Wish(WINDOWS)], now + 9 * DAY)
    later = ask(path, now + 9 * DAY, NOON)
    assert later == ask_slowly(path, now + 9 * DAY, NOON)
    peaks = later.peaks["limits"][0]["windows"]["5h"]["days"]
    assert [each["used_percent"] for each in peaks] == [30, 30, 30, 40]
    assert kept_path(path).exists()
