"""The highest used percent of each window on each day: the document of ``/api/peaks``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.formatting import length_code
from store.analysis.limit_status import SLOT_COLUMNS, other_windows, slots
from store.analysis.periods import days_between, next_day, period_key
from store.kept.reading import ask_kept
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction, tuple_cursor
from store.queries.kept_windows import QUARTER, WINDOWS, Day, kept_peaks
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from store.connection import Connection, StoredRow
    from store.documents import LimitPeaks, PeaksDocument
    from store.kept.kind import Kept
    from store.queries.accounts import Account


def load_peaks(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    since: float,
    limit_id: str | None = None,
) -> PeaksDocument:
    """Return the peaks of the days from that of `since` until `now` (Unix seconds), in the machine's time zone."""
    chosen = in_order(accounts)
    days = [Day(key, *bounds) for key, bounds in days_between(since, now)]

    def load(kept: Kept | None) -> list[LimitPeaks]:
        snapshots = current_snapshots(connection, accounts)
        return [
            limit
            for account in chosen
            for limit in _account(
                _Source(connection, kept, account),
                [row for row in snapshots.get(account.id, []) if limit_id in {None, row["limit_id"]}],
                days,
                now,
            )
        ]

    with read_transaction(connection):
        found = ask_kept(connection, WINDOWS, load)
        return {
            **empty_peaks(now, since=since),
            "accounts": [account.reference for account in chosen],
            "limits": load(None) if found is None else found,
        }


def empty_peaks(now: float, *, since: float) -> PeaksDocument:
    """Return the document of a database that does not exist yet."""
    return {"since": since, "until": now, "accounts": [], "limits": []}


class _Source(NamedTuple):
    """Where the peaks of an account come from: the database, and the kept rows where any can be used."""

    connection: Connection
    kept: Kept | None
    account: Account


class _DayPeaks:
    """The highest used percents of a limit by slot and day."""

    def __init__(self, days: Sequence[Day]) -> None:
        self.days = days
        self._found: dict[str, dict[str, float]] = {}

    def add(self, day: str, used: Mapping[str, float]) -> None:
        """Add used percents of a day by slot."""
        for slot, percent in used.items():
            of_slot = self._found.setdefault(slot, {})
            of_slot[day] = max(percent, of_slot.get(day, 0.0))

    def document(self, account: Account, newest: StoredRow) -> LimitPeaks:
        """Return the peaks as documents have them."""
        minutes = {slot: window.window_minutes for slot, window in slots(newest)}
        return {
            "account": account.key,
            "limit_id": newest["limit_id"],
            "limit_name": newest["limit_name"],
            "windows": {
                slot: {
                    "window_minutes": minutes.get(slot),
                    "length": length_code(minutes.get(slot)),
                    "days": [
                        {"day": day.key, "start": day.start, "end": day.end, "used_percent": found[day.key]}
                        for day in self.days
                        if day.key in found
                    ],
                }
                for slot, found in sorted(self._found.items(), key=_slot_order)
            },
        }


def _account(source: _Source, limits: list[StoredRow], days: Sequence[Day], now: float) -> Iterator[LimitPeaks]:
    peaks = {row["limit_id"]: _DayPeaks(days) for row in limits}
    begin = days[0].start if days else now
    ranges = [(begin, now)]
    coverage = source.kept.coverage.get(source.account.id) if source.kept else None
    # Where the clock was set back, snapshots from after `now` may have been kept.
    is_past = coverage is not None and begin < coverage.until <= now
    if source.kept and coverage and is_past and all(day.start % QUARTER == 0 for day in days):
        for limit_id, day, used in kept_peaks(source.kept, source.account.id, days):
            if limit_id in peaks:
                peaks[limit_id].add(day, used)
        ranges = [(coverage.until, now)]
        if begin < coverage.since:
            ranges.append((begin, coverage.since))
    for row in limits:
        for since, until in ranges:
            _add_rows(source, row["limit_id"], (since, until), peaks[row["limit_id"]])
        yield peaks[row["limit_id"]].document(source.account, row)


def _add_rows(source: _Source, limit_id: str, span: tuple[float, float], peaks: _DayPeaks) -> None:
    """Add the snapshots of a limit from a time range."""
    values = {"account": source.account.id, "limit_id": limit_id, "since": span[0], "until": span[1]}
    begin = peaks.days[0].key if peaks.days else ""
    for first, last, *used, others in tuple_cursor(source.connection).execute(_PEAKS, values):
        windows = {**dict(zip(SLOT_COLUMNS, used, strict=True)), **_used_percents(others)}
        found = {slot: percent for slot, percent in windows.items() if percent is not None}
        for day in _days(_day(first * QUARTER), _day(last * QUARTER), begin):
            peaks.add(day, found)


def _slot_order(found: tuple[str, object]) -> tuple[bool, str]:
    return found[0] not in SLOT_COLUMNS, found[0]


@lru_cache(maxsize=1_000)
def _day(at: float) -> str | None:
    return period_key(at, "day", None)


@lru_cache(maxsize=1_000)
def _used_percents(written: str | None) -> Mapping[str, float | None]:
    return {slot: window.used_percent for slot, window in other_windows(written).items()}


def _days(first: str | None, last: str | None, begin: str) -> Iterator[str]:
    """Yield the days from the first to the last, those before `begin` left out; none outside the calendar.

    Where the clock was set back meanwhile, the last one may be before the first: then it is the first alone.
    """
    if first is None or last is None:
        return
    day, end = max(first, begin), max(first, last)
    while day < end:
        yield day
        day = next_day(day)
    if day == end:
        yield day


_OF_LIMIT = "FROM snapshots WHERE account = :account AND limit_id = :limit_id AND late = 0"
_PEAKS = f"""
SELECT
    CAST(first_seen_at / {QUARTER} AS BIGINT) AS first_quarter,
    CAST(CASE WHEN last_seen_at < :until THEN last_seen_at ELSE :until END / {QUARTER} AS BIGINT) AS last_quarter,
    {", ".join(f"max({names[0]}) AS peak_{slot}" for slot, names in SLOT_COLUMNS.items())},
    other_windows
{_OF_LIMIT} AND first_seen_at <= :until AND first_seen_at >= coalesce(
    (SELECT max(first_seen_at) {_OF_LIMIT} AND first_seen_at < :since), :since)
GROUP BY first_quarter, last_quarter, other_windows
"""
"""Snapshots of the same quarters make one row. The first one is that which stood at `since`."""
