"""The highest used percent of each window on each day: the document of ``/api/peaks``."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING

from store.analysis.formatting import length_code
from store.analysis.limit_status import SLOT_COLUMNS, other_windows, slots
from store.analysis.periods import period_bounds, period_key
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from store.connection import Connection, StoredRow
    from store.documents import DayPeak, LimitPeaks, PeaksDocument
    from store.queries.accounts import Account


_QUARTER = 900
"""Seconds; the days of every time zone begin at a quarter of an hour."""


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
    with read_transaction(connection):
        snapshots = current_snapshots(connection, accounts)
        return {
            **empty_peaks(now, since=since),
            "accounts": [account.reference for account in chosen],
            "limits": [
                _limit(connection, account, row, since, now)
                for account in chosen
                for row in snapshots.get(account.id, [])
                if limit_id in {None, row["limit_id"]}
            ],
        }


def empty_peaks(now: float, *, since: float) -> PeaksDocument:
    """Return the document of a database that does not exist yet."""
    return {"since": since, "until": now, "accounts": [], "limits": []}


def _limit(connection: Connection, account: Account, newest: StoredRow, since: float, now: float) -> LimitPeaks:
    peaks: dict[str, dict[str, float]] = {}
    rows = connection.execute(
        _PEAKS, {"account": account.id, "limit_id": newest["limit_id"], "since": since, "until": now}
    )
    spans = [(_day(row["first_quarter"] * _QUARTER), _day(row["last_quarter"] * _QUARTER), row) for row in rows]
    for first, last, row in sorted(spans, key=_order):
        for day in _days(first, last, since):
            for slot, used in _used(row):
                of_slot = peaks.setdefault(slot, {})
                of_slot[day] = max(used, of_slot.get(day, 0.0))
    minutes = {slot: window.window_minutes for slot, window in slots(newest)}
    return {
        "account": account.key,
        "limit_id": newest["limit_id"],
        "limit_name": newest["limit_name"],
        "windows": {
            slot: {
                "window_minutes": minutes.get(slot),
                "length": length_code(minutes.get(slot)),
                "days": list(_peaks(found)),
            }
            for slot, found in peaks.items()
        },
    }


def _used(row: StoredRow) -> Iterator[tuple[str, float]]:
    for slot in SLOT_COLUMNS:
        if row[f"peak_{slot}"] is not None:
            yield slot, row[f"peak_{slot}"]
    for slot, window in other_windows(row["other_windows"]).items():
        if window.used_percent is not None:
            yield slot, window.used_percent


@lru_cache(maxsize=1_000)
def _day(at: float) -> str | None:
    return period_key(at, "day", None)


def _order(span: tuple[str | None, str | None, StoredRow]) -> tuple[str, str, str]:
    first, last, row = span
    return first or "", last or "", row["other_windows"] or ""


def _days(first: str | None, last: str | None, since: float) -> Iterator[str]:
    """Yield the days from the first to the last, those before `since` left out; none outside the calendar."""
    begin = _day(since)
    if first is None or last is None or begin is None:
        return
    day, end = max(first, begin), last
    while day <= end:
        yield day
        day = (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()


def _peaks(found: dict[str, float]) -> Iterator[DayPeak]:
    for day, used in sorted(found.items()):
        bounds = period_bounds(day, "day", None)
        if bounds is not None:
            yield {"day": day, "start": bounds.start, "end": bounds.end, "used_percent": used}


_OF_LIMIT = "FROM snapshots WHERE account = :account AND limit_id = :limit_id AND late = 0"
_PEAKS = f"""
SELECT
    CAST(first_seen_at / {_QUARTER} AS BIGINT) AS first_quarter,
    CAST(CASE WHEN last_seen_at < :until THEN last_seen_at ELSE :until END / {_QUARTER} AS BIGINT) AS last_quarter,
    {", ".join(f'max({names[0]}) AS "peak_{slot}"' for slot, names in SLOT_COLUMNS.items())},
    other_windows
{_OF_LIMIT} AND first_seen_at <= :until AND first_seen_at >= coalesce(
    (SELECT max(first_seen_at) {_OF_LIMIT} AND first_seen_at < :since), :since)
GROUP BY first_quarter, last_quarter, other_windows
"""
"""Snapshots of the same quarters make one row. The first one is that which stood at `since`."""
