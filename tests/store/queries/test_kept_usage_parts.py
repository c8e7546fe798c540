"""Kept use of a window is read by the day and the hour, and tells the same as by the quarter of an hour."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from store.analysis.attribution import TurnUse, WindowSample
from store.analysis.periods import Bounds
from store.analysis.turn_value import STANDARD, Rates
from store.constants import GROUP_BY
from store.database import open_reader, open_writer, transaction
from store.files import kept_path
from store.kept.filling import Wish, drop_edited, fill
from store.queries.accounts import load_accounts
from store.queries.kept_usage import MONTH_SECONDS, SPANS, usage_kind
from store.queries.kept_usage_parts import KeptSpan, split_days
from store.queries.usage import load_usage
from store.retention import prune
from tests.support.factories import NOON, WEEK_MINUTES, AccountHistory, insert_history
from tests.support.kept_histories import DAY, HOUR, nearly, no_failures, without_kept
from tests.support.prices import PriceTable, always

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store.constants import GroupBy

MIDNIGHT = NOON - 12 * HOUR
DAYS, MONTHS = 5, 62 * DAY
NOW = MIDNIGHT + DAYS * DAY + 3 * HOUR
PRICES = PriceTable(
    {
        "m": {STANDARD: always((-1, Rates(2, 0.2, 2.5, 10)), (272_000, Rates(4, 0.4, 5, 15)))},
        "n": {STANDARD: always((-1, Rates(1, 0.1, 1, 5)))},
    }
)
_TURN_SECONDS = 50 * 60
_DELAY_SECONDS = 40 * 60


def _turn(number: int, ended_at: float, shift: int) -> TurnUse:
    use: dict[str, Any] = dict.fromkeys(TurnUse._fields)
    use |= {"started_at": ended_at - _TURN_SECONDS, "ended_at": ended_at, "warm_up": 0, "status": 200, "imported": 0}
    use |= {"thread": f"t-{(number + shift) % 11}", "model": ("m", "n")[number % 2]}
    use |= {"input_tokens": (1_000, 250_000, 300_000)[number % 3], "output_tokens": 10 * number, "cached_tokens": 100}
    if number % 5 == 0:
        use |= {"subagent": "review", "parent_thread": f"t-{number % 3}", "thread": f"r-{number}"}
    if number % 9 == 4:  # it has no points
        use |= {"warm_up": 1, "thread": f"warm-{number}", "input_tokens": None, "output_tokens": None}
    if ended_at % DAY > DAY - _DELAY_SECONDS:  # its points are read on a day on which the thread has no turn
        use["thread"] = f"late-{number}"
    return TurnUse(**use)


def _history(email: str, shift: int) -> AccountHistory:
    """Turns of most of an hour, and an increase after the end of each: often in another hour.

    In the last days they follow one another, in the months before there is one in two days.
    """
    ends = [MIDNIGHT - MONTHS + shift + number * 50 * HOUR for number in range(int(MONTHS // (50 * HOUR)))]
    ends += [MIDNIGHT + 600 + shift + number * 55 * 60 for number in range(DAYS * 26)]
    turns = [_turn(number, ended_at, shift) for number, ended_at in enumerate(ends)]
    samples = [
        WindowSample(at + _DELAY_SECONDS, at + _DELAY_SECONDS, number / 2, WEEK_MINUTES, NOON + 30 * DAY)
        for number, at in enumerate(ends)
    ]
    return AccountHistory(samples, turns, email)


@pytest.fixture(name="rows")
def _rows(path: Path) -> Path:
    """Two accounts with days of use."""
    insert_history(path, _history("ann@example.com", 0), _history("ben@example.com", 1_300))
    return path


@pytest.fixture(name="database")
def _database(rows: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two accounts with days of use, of which all but the last hours are kept."""
    keep(rows)
    no_failures(monkeypatch)
    return rows


@pytest.fixture(name="move_to")
def _move_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that sets the time zone of the machine, as this process sees it."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set for one process here")
    with monkeypatch.context() as changes:

        def move(zone: str) -> None:
            changes.setenv("TZ", zone)
            time.tzset()

        yield move
    time.tzset()


def keep(path: Path, now: float = NOW) -> None:
    """Keep what is final at a time."""
    kind = usage_kind("7d")
    assert kind is not None
    assert fill(path, [Wish(kind)], now)


def document(path: Path, by: GroupBy, since: float = 0, **options: Any) -> Any:
    with contextlib.closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        return load_usage(connection, NOW, accounts=accounts, by=by, since=since, prices=PRICES, **options)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize("by", GROUP_BY)
def test_days_and_hours_tell_the_same_as_the_rows(
    database: Path, monkeypatch: pytest.MonkeyPatch, by: GroupBy, zone: str
) -> None:
    """Of a time that begins within an hour, with all rows and with few; turns end in another day than their points."""
    for since in (0, MIDNIGHT - 40.3 * DAY, MIDNIGHT + 1.3 * DAY):
        for most in (None, 3):
            options: dict[str, Any] = {"since": since, "most": most, "zone": ZoneInfo(zone), "tree": by == "thread"}
            found = document(database, by, **options)
            with without_kept(monkeypatch):
                assert found == nearly(document(database, by, **options))


@pytest.mark.parametrize("by", ["day", "week", "month"])
def test_days_of_the_machine_are_read_of_their_sums(
    rows: Path, monkeypatch: pytest.MonkeyPatch, move_to: Callable[[str], None], by: GroupBy
) -> None:
    """Where the clock is set back, and by the prices of turns with much input; they tell the same as the rows."""
    move_to("Europe/Berlin")
    keep(rows)
    with without_kept(monkeypatch):
        expected = document(rows, by)
    assert document(rows, by) == nearly(expected)
    within = (MIDNIGHT - 40 * DAY - HOUR, MIDNIGHT + 2 * DAY - HOUR)
    with contextlib.closing(sqlite3.connect(kept_path(rows))) as kept:
        for table in ("turns", "shares", "hourly_turns", "hourly_shares", "daily_turns", "daily_shares"):
            assert kept.execute(f"DELETE FROM usage_7d_{table} WHERE at > ? AND at <= ?", within).rowcount  # noqa: S608
        kept.commit()
    assert document(rows, by) == nearly(expected)


def test_a_day_that_is_not_summed_up_of_one_account(
    rows: Path, monkeypatch: pytest.MonkeyPatch, move_to: Callable[[str], None]
) -> None:
    """It is read by the hour, though it is summed up of another account, of which nothing had been used by then."""
    insert_history(rows, AccountHistory([], [_turn(1, NOW - 3 * HOUR, 0)], "cid@example.com"))
    move_to("UTC")
    keep(rows)
    with without_kept(monkeypatch):
        expected = document(rows, "day")
    day = (MIDNIGHT - 20 * DAY, MIDNIGHT - 10 * DAY)
    with contextlib.closing(sqlite3.connect(kept_path(rows))) as kept:
        for table in ("local_days", "local_turns", "local_shares"):
            where = "account = 1 AND at > ? AND at <= ?"
            assert kept.execute(f"DELETE FROM usage_7d_{table} WHERE {where}", day).rowcount  # noqa: S608 (constants)
        of_day = "FROM usage_7d_local_days WHERE account = 2 AND at > ? AND at <= ?"
        kept.execute(f"INSERT INTO usage_7d_local_days SELECT 3, at, since {of_day}", day)
        kept.commit()
    assert document(rows, "day") == nearly(expected)


@pytest.mark.parametrize("by", ["day", "week", "hour"])
def test_the_machine_moves_to_another_time_zone(
    rows: Path, monkeypatch: pytest.MonkeyPatch, move_to: Callable[[str], None], by: GroupBy
) -> None:
    """No day that is summed up overlaps another one, and what is of no such day is read by the hour."""
    for zone, days in (("UTC", 30), ("Pacific/Auckland", 3), ("Asia/Kolkata", 0)):
        move_to(zone)
        keep(rows, NOW - days * DAY)
    with without_kept(monkeypatch):
        expected = document(rows, by)
    assert document(rows, by) == nearly(expected)
    with contextlib.closing(sqlite3.connect(kept_path(rows))) as kept:
        days_of = kept.execute("SELECT since, at FROM usage_7d_local_days WHERE account = 1 ORDER BY at").fetchall()
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(days_of))
    assert {begin % DAY for begin, _ in days_of} == {0, 11 * HOUR, 18.5 * HOUR}


@pytest.mark.parametrize("by", ["model", "hour", "project", "thread"])
def test_whole_months_are_read_of_their_sums(database: Path, by: GroupBy) -> None:
    """What was kept of their days does not count, where rows are not told apart by these."""
    before = document(database, by, most=4, zone=ZoneInfo("UTC"))
    begin = MIDNIGHT - MIDNIGHT % MONTH_SECONDS - MONTH_SECONDS
    with contextlib.closing(sqlite3.connect(kept_path(database))) as kept:
        for table in ("turns", "shares", "daily_turns", "daily_shares"):
            deleted = kept.execute(
                f"DELETE FROM usage_7d_{table} WHERE at > ? AND at <= ?",  # noqa: S608 (a constant)
                (begin, begin + MONTH_SECONDS),
            )
            assert deleted.rowcount
        kept.commit()
    assert document(database, by, most=4, zone=ZoneInfo("UTC")) == before


@pytest.mark.parametrize("by", ["model", "day", "project", "thread"])
def test_whole_days_are_read_of_their_sums(database: Path, by: GroupBy) -> None:
    """What was kept of their hours and quarters of an hour does not count."""
    before = document(database, by, most=4, zone=ZoneInfo("UTC"))
    with contextlib.closing(sqlite3.connect(kept_path(database))) as kept:
        for table in ("turns", "shares", "hourly_turns", "hourly_shares", "readings"):
            deleted = kept.execute(
                f"DELETE FROM usage_7d_{table} WHERE at > ? AND at <= ?",  # noqa: S608 (a constant)
                (MIDNIGHT + DAY, MIDNIGHT + (DAYS - 1) * DAY),
            )
            assert deleted.rowcount
        kept.commit()
    assert document(database, by, most=4, zone=ZoneInfo("UTC")) == before


def test_whole_hours_are_read_of_their_sums(database: Path) -> None:
    """What was kept of their quarters of an hour does not count, except for threads."""
    before = document(database, "hour")
    with contextlib.closing(sqlite3.connect(kept_path(database))) as kept:
        within = (MIDNIGHT + DAY, MIDNIGHT + (DAYS - 1) * DAY)
        assert kept.execute("DELETE FROM usage_7d_turns WHERE at > ? AND at <= ?", within).rowcount
        kept.commit()
    assert document(database, "hour") == before


def test_a_window_that_was_first_seen_after_what_is_kept(database: Path) -> None:
    """It has its length, however many snapshots of other windows followed."""
    kind = usage_kind("5h")
    assert kind is not None
    assert fill(database, [Wish(kind)], NOW)
    with contextlib.closing(open_writer(database)) as connection, transaction(connection):
        connection.executemany(
            "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at,"
            " used_5h_percent, window_5h_minutes, used_7d_percent, window_7d_minutes, source, raw)"
            " VALUES (1, 'k~0', 'codex', :at, :at, :at, :used, 300, 1, 10080, 'headers', '{}')",
            [{"at": NOW - 5_000 + number, "used": 1 if number == 0 else None} for number in range(300)],
        )
    assert [each["length"] for each in document(database, "model", window="5h")["windows"]] == ["5h"]


def test_what_is_pruned_is_in_no_sum(database: Path) -> None:
    """Sums of a day or a month that has begun before are deleted as well."""
    before = NOON - 20.3 * DAY
    with contextlib.closing(open_writer(database)) as connection:
        while prune(connection, before):
            pass
    with contextlib.closing(sqlite3.connect(kept_path(database))) as kept:
        sums = [(f"usage_7d_{table}", span) for table, span in SPANS.items()]
        begins = [f"SELECT account, at - {span} AS begin FROM {table}" for table, span in sums]  # noqa: S608 (constants)
        earlier = f"SELECT count(*) FROM ({' UNION ALL '.join(begins)}) WHERE begin < ?"  # noqa: S608 (constants)
        assert kept.execute(earlier, (before,)).fetchone() > (0,)
    drop_edited(database)
    with contextlib.closing(sqlite3.connect(kept_path(database))) as kept:
        assert kept.execute(earlier, (before,)).fetchone() == (0,)
        for table in ("daily_turns", "local_turns", "local_days"):
            assert kept.execute(f"SELECT count(*) FROM usage_7d_{table}").fetchone() > (0,)  # noqa: S608 (a constant)


@pytest.mark.parametrize(
    ("span", "apart", "whole"),
    [
        pytest.param((0, 30), [], [(0, 10), (10, 20), (20, 30)], id="days alone"),
        pytest.param((5, 25), [(5, 10), (20, 25)], [(10, 20)], id="begins and ends within a day"),
        pytest.param((0, 50), [(30, 40)], [(0, 10), (10, 20), (20, 30), (40, 50)], id="a day is missing"),
        pytest.param((2, 8), [(2, 8)], [], id="within a day"),
        pytest.param((60, 70), [(60, 70)], [], id="after all days"),
    ],
)
def test_days_of_a_span(span: tuple[int, int], apart: list[tuple[int, int]], whole: list[tuple[int, int]]) -> None:
    """The rest of a span is read by shorter rows."""
    days = [Bounds(start, start + 10) for start in (0, 10, 20, 40)]
    found = split_days([KeptSpan(*span)], days)
    assert [[each[:2] for each in part] for part in found] == [apart, whole]
