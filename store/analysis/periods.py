"""Days, weeks and months of a time zone: their keys in documents, and when they begin and end."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.formatting import DAY, local_time
from store.analysis.usage_cells import QUARTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEYS: dict[str, Callable[[dt.datetime], str]] = {
    "hour": lambda at: f"{at.replace(tzinfo=None).isoformat(' ', 'hours')}:00",
    "day": lambda at: at.date().isoformat(),
    "week": lambda at: at.strftime("%G-W%V"),
    "month": lambda at: at.date().isoformat()[: len("2026-11")],
}
"""The key of the period of a time, by its unit. ``strftime`` takes three times as long as ``isoformat``."""


_HOURS = [f"{hour:02}:00" for hour in range(24)]


class Bounds(NamedTuple):
    """The beginning of a period and that of the next one, in Unix seconds."""

    start: float
    end: float


def period_key(at: float, unit: str, zone: dt.tzinfo | None) -> str | None:
    """Return the key of the period that contains a timestamp; None outside the calendar.

    It is ``2026-11-21 14:00`` of an hour, ``2026-11-21`` of a day, ``2026-W47`` of an ISO week, which begins on Monday,
    and ``2026-11`` of a month: units are hour, day, week and month. Keys of a unit sort by time.
    """
    when = local_time(at, zone)
    return _KEYS[unit](when) if when else None


def period_bounds(key: str, unit: str, zone: dt.tzinfo | None) -> Bounds | None:
    """Return the bounds of a day, week or month by its key; None for an hour, and outside the calendar.

    A day that sets the clock forward or back is shorter or longer than 24 hours.
    """
    bounds = _BOUNDS.get(unit)
    try:
        return Bounds(*(_midnight(day, zone) for day in bounds(key))) if bounds else None
    except (ValueError, OverflowError, OSError):
        return None


def days_between(since: float, until: float, zone: dt.tzinfo | None = None) -> Iterator[tuple[str, Bounds]]:
    """Yield the days from that of a timestamp to that of another, with their bounds; none outside the calendar."""
    key, last = (period_key(at, "day", zone) for at in (since, until))
    while key is not None and last is not None and key <= last:
        bounds = period_bounds(key, "day", zone)
        if bounds is not None:
            yield key, bounds
        key = next_day(key)


def next_day(day: str) -> str:
    """Return the key of the day after another."""
    return (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()


def keys_of_hours(at: float, zone: dt.tzinfo | None) -> tuple[int, list[str]] | None:
    """Return when the day of a timestamp begins, and the keys of its hours.

    None is returned where it has not 24 of them, or begins within a quarter of an hour.
    """
    key = period_key(at, "day", zone)
    bounds = key and period_bounds(key, "day", zone)
    if not bounds or bounds.end - bounds.start != DAY or bounds.start % QUARTER_SECONDS:
        return None
    return int(bounds.start), [f"{key} {hour}" for hour in _HOURS]


def _day(key: str) -> tuple[dt.date, dt.date]:
    first = dt.date.fromisoformat(key)
    return first, first + dt.timedelta(days=1)


def _week(key: str) -> tuple[dt.date, dt.date]:
    year, _, week = key.partition("-W")
    first = dt.date.fromisocalendar(int(year), int(week), 1)
    return first, first + dt.timedelta(days=7)


def _month(key: str) -> tuple[dt.date, dt.date]:
    first = dt.date.fromisoformat(f"{key}-01")
    return first, (first + dt.timedelta(days=31)).replace(day=1)


_BOUNDS: dict[str, Callable[[str], tuple[dt.date, dt.date]]] = {"day": _day, "week": _week, "month": _month}


def periods_back(now: float, unit: str, number: int, zone: dt.tzinfo | None = None) -> float:
    """Return when the earliest of so many weeks or months began, of which the last one is that of `now`."""
    day = dt.datetime.fromtimestamp(now, zone).date()
    if unit == "week":
        return _midnight(day - dt.timedelta(days=day.weekday() + 7 * (number - 1)), zone)
    months = day.year * 12 + day.month - number
    return _midnight(dt.date(months // 12, months % 12 + 1, 1), zone)


def _midnight(day: dt.date, zone: dt.tzinfo | None) -> float:
    return dt.datetime.combine(day, dt.time(), zone).timestamp()
